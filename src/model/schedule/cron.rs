//! Five fields of cron(5), as Vixie's cron takes them.

use std::sync::Arc;

use croner::parser::{CronParser, Seconds, Year};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::error::{Error, Result};

const NICKNAMES: [&str; 7] = [
    "@hourly",
    "@daily",
    "@midnight",
    "@weekly",
    "@monthly",
    "@yearly",
    "@annually",
];
const NAMES: [&str; 5] = ["minute", "hour", "day of the month", "month", "day of the week"];

/// A schedule of cron. It has a bit for each year there is, which copies share.
#[derive(Debug, Clone)]
pub(super) struct Cron(Arc<croner::Cron>);

impl Cron {
    pub(super) fn parse(text: &str) -> Result<Cron> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        if text.starts_with('@') {
            if fields.len() > 1 || !NICKNAMES.contains(&text) {
                return Err(unknown_nickname(text));
            }
        } else if fields.len() > 5 {
            return Err(
                Error::invalid(format!("`{text}` has {} fields, and a schedule has five", fields.len())).hint(format!(
                    "there is no field for seconds: `{}`?",
                    fields[1..].iter().take(5).copied().collect::<Vec<_>>().join(" ")
                )),
            );
        }
        // Of two fields of days either will do, unless one begins with a star: then both must fit (crontab(5)).
        let has_star = |place: usize| fields.get(place).is_some_and(|field| field.starts_with('*'));
        let parser = CronParser::builder()
            .seconds(Seconds::Disallowed)
            .year(Year::Disallowed)
            .dom_and_dow(has_star(2) || has_star(4))
            .build();
        match parser.parse(text) {
            Ok(cron) => Ok(Cron(Arc::new(cron))),
            Err(cause) => Err(explained(text, &fields, &parser, &cause)),
        }
    }

    /// The first time after `after`. At a fixed time that the clock passes over it is the moment after that, and one that the clock
    /// shows twice counts once; what runs every hour or minute goes on as time does.
    pub(super) fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let next = self.0.find_next_occurrence(&after.to_zoned(zone.clone()), false);
        next.ok().map(|next| next.timestamp())
    }

    pub(super) fn words(&self) -> String {
        let text = self.0.describe();
        text.trim_end_matches('.').to_owned()
    }
}

fn unknown_nickname(text: &str) -> Error {
    let error = Error::invalid(format!("`{text}` is no schedule"));
    match text {
        "@reboot" => {
            error.hint("what is to run after a restart is started by `hoist system boot`, or by a unit of its own")
        }
        _ => error.hint(format!("valid: {}, @every 6h", NICKNAMES.join(", "))),
    }
}

/// Which field is wrong: the one that is so among stars.
fn explained(text: &str, fields: &[&str], parser: &CronParser, cause: &croner::errors::CronError) -> Error {
    let wrong = fields.iter().enumerate().find(|(place, field)| {
        let mut alone = ["*"; 5];
        alone[*place] = field;
        parser.parse(&alone.join(" ")).is_err()
    });
    match wrong {
        Some((place, field)) => {
            Error::invalid(format!("`{field}` is no {} in `{text}`", NAMES[place])).hint(RANGES[place])
        }
        None => Error::invalid(format!("`{text}` is no schedule: {cause}")),
    }
}

const RANGES: [&str; 5] = [
    "minutes are 0 to 59: `0`, `*/15`, `0,30`",
    "hours are 0 to 23: `3`, `9-17`, `*/6`",
    "days are 1 to 31: `1`, `1,15`, `L` for the last",
    "months are 1 to 12, or JAN to DEC",
    "days of the week are 0 to 7, Sunday being both, or MON to SUN",
];
