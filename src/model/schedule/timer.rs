//! A schedule in the words of systemd's timers and of crontabs.
//!
//! What they cannot say is asked for each minute: whoever asks runs only what is due.

use jiff::tz::TimeZone;

use super::{Form, Schedule};

/// Each minute, as systemd says it.
const MINUTELY: &str = "*-*-* *:*:00";
const SECONDLY: &str = "*-*-* *:*:*";
/// And as cron does.
const STARS: &str = "* * * * *";
const NICKNAMES: [(&str, &str); 7] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];
const DAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
const MONTHS: [&str; 12] = [
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
];

impl Schedule {
    /// Values of `OnCalendar=` (systemd.timer(5)) at which it may be due: at all times that it is, and where that cannot be said more often.
    pub fn calendar_events(&self) -> Vec<String> {
        match &self.form {
            Form::Every(seconds) => vec![every(*seconds)],
            Form::Calendar(calendar) if calendar.zone.is_some() => vec![self.text.clone()],
            Form::Calendar(_) => vec![self.in_zone(&self.text)],
            Form::Cron(_) => match events_of(self.fields()) {
                Some(events) => events.iter().map(|event| self.in_zone(event)).collect(),
                None => vec![MINUTELY.to_owned()],
            },
        }
    }

    /// The five fields of a crontab's line (crontab(5)) at which it may be due, likewise.
    pub fn crontab(&self) -> &str {
        let here = TimeZone::system();
        match &self.form {
            Form::Cron(_) if self.zone == here && events_of(self.fields()).is_some() => self.fields(),
            _ => STARS,
        }
    }

    fn fields(&self) -> &str {
        let nickname = NICKNAMES.iter().find(|(name, _)| *name == self.text);
        nickname.map_or(&self.text, |(_, fields)| fields)
    }

    fn in_zone(&self, event: &str) -> String {
        match self.zone.iana_name() {
            Some(zone) => format!("{event} {zone}"),
            None => event.to_owned(),
        }
    }
}

/// Multiples of a span since 1970.
fn every(seconds: i64) -> String {
    const HOUR: i64 = 3600;
    match seconds {
        60.. if seconds % 60 == 0 && HOUR % seconds == 0 => format!("*-*-* *:00/{}:00 UTC", seconds / 60),
        HOUR.. if seconds % HOUR == 0 && (24 * HOUR) % seconds == 0 => format!("*-*-* 00/{}:00:00 UTC", seconds / HOUR),
        60.. if seconds % 60 == 0 => MINUTELY.to_owned(),
        _ => SECONDLY.to_owned(),
    }
}

/// The calendar events of five fields; `None` where one of them has what only some crons know, such as `L`.
fn events_of(fields: &str) -> Option<Vec<String>> {
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let [minute, hour, day, month, weekday] = fields.as_slice() else {
        return None;
    };
    let (minutes, hours) = (numbers(minute, 0, 59, &[])?, numbers(hour, 0, 23, &[])?);
    let time = format!("{hours}:{minutes}:00");
    let month = numbers(month, 1, 12, &MONTHS)?;
    let on_days = format!("*-{month}-{} {time}", numbers(day, 1, 31, &[])?);
    let on_weekdays = |date: &str| -> Option<String> {
        let days = values(weekday, 0, 7, &DAYS)?;
        let mut days: Vec<u32> = days.into_iter().map(|day| (day + 6) % 7).collect();
        days.sort_unstable();
        days.dedup();
        let names: Vec<&str> = days.iter().map(|day| DAYS[(*day as usize + 1) % 7]).collect();
        Some(format!("{} {date}", names.join(",")))
    };
    // Where both are restricted, either will do (crontab(5)); a field that begins with a star does not count as restricted.
    match (day.starts_with('*'), weekday.starts_with('*')) {
        (_, true) if *weekday == "*" => Some(vec![on_days]),
        (true, _) | (_, true) => Some(vec![on_weekdays(&on_days)?]),
        (false, false) => Some(vec![on_days, on_weekdays(&format!("*-{month}-* {time}"))?]),
    }
}

/// A field as a list, or the star that it is.
fn numbers(field: &str, least: u32, most: u32, names: &[&str]) -> Option<String> {
    if field == "*" {
        return Some("*".to_owned());
    }
    let values = values(field, least, most, names)?;
    let texts: Vec<String> = values.iter().map(|value| format!("{value:02}")).collect();
    Some(texts.join(","))
}

/// Every value that a field names, sorted.
fn values(field: &str, least: u32, most: u32, names: &[&str]) -> Option<Vec<u32>> {
    let value = |text: &str| -> Option<u32> {
        let named = names.iter().position(|name| name.eq_ignore_ascii_case(text));
        let number = match named {
            Some(place) => u32::try_from(place).ok()? + least.min(1),
            None => text.parse().ok()?,
        };
        (least..=most).contains(&number).then_some(number)
    };
    let mut all = Vec::new();
    for part in field.split(',') {
        let (span, step) = match part.split_once('/') {
            Some((span, step)) => (span, Some(step.parse::<usize>().ok().filter(|step| *step > 0)?)),
            None => (part, None),
        };
        let (first, last) = match (span, span.split_once('-'), step) {
            ("*", ..) => (least, most),
            (_, Some((first, last)), _) => (value(first)?, value(last)?),
            (one, None, Some(_)) => (value(one)?, most),
            (one, None, None) => (value(one)?, value(one)?),
        };
        all.extend((first..=last).step_by(step.unwrap_or(1)));
    }
    all.sort_unstable();
    all.dedup();
    (!all.is_empty()).then_some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_are_said_in_systemds_words() {
        let zone = super::super::zone("Europe/Paris").unwrap();
        for (text, events) in [
            ("30 3 * * *", &["*-*-* 03:30:00 Europe/Paris"][..]),
            (
                "*/20 9-11 * * MON-FRI",
                &["MON,TUE,WED,THU,FRI *-*-* 09,10,11:00,20,40:00 Europe/Paris"],
            ),
            (
                "0 0 1,15 * 0",
                &["*-*-01,15 00:00:00 Europe/Paris", "SUN *-*-* 00:00:00 Europe/Paris"],
            ),
            ("0 12 * feb 7", &["SUN *-02-* 12:00:00 Europe/Paris"]),
            ("@weekly", &["SUN *-*-* 00:00:00 Europe/Paris"]),
            ("0 0 L * *", &[MINUTELY]),
            ("@every 10m", &["*-*-* *:00/10:00 UTC"]),
            ("@every 6h", &["*-*-* 00/6:00:00 UTC"]),
            ("@every 7h", &[MINUTELY]),
            ("@every 5s", &[SECONDLY]),
            ("Mon..Fri 04:00", &["Mon..Fri 04:00 Europe/Paris"]),
            ("Sat 04:00 UTC", &["Sat 04:00 UTC"]),
        ] {
            assert_eq!(
                Schedule::parse(text, &zone).unwrap().calendar_events(),
                events,
                "{text}"
            );
        }
    }

    #[test]
    fn a_crontab_has_the_fields_or_stars() {
        for (text, fields) in [
            ("30 3 * * *", "30 3 * * *"),
            ("@daily", "0 0 * * *"),
            ("0 0 L * *", STARS),
            ("@every 6h", STARS),
            ("Mon 04:00", STARS),
        ] {
            assert_eq!(
                Schedule::parse(text, &TimeZone::system()).unwrap().crontab(),
                fields,
                "{text}"
            );
        }
        let far = super::super::zone("Asia/Tokyo").unwrap();
        assert_eq!(Schedule::parse("30 3 * * *", &far).unwrap().crontab(), STARS);
    }
}
