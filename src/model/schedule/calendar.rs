//! Calendar events as systemd writes them: `Mon..Fri *-*-1..7 03:00`, `quarterly` (systemd.time(7)).

use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::TimeZone;

use crate::error::{Error, Result};

/// The last year that is looked at, systemd's own.
const LAST_YEAR: i16 = 2199;

const WEEKDAYS: [&str; 7] = [
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
];

/// What short words stand for.
const WORDS: [(&str, &str); 11] = [
    ("minutely", "*-*-* *:*:00"),
    ("hourly", "*-*-* *:00:00"),
    ("daily", "*-*-* 00:00:00"),
    ("monthly", "*-*-01 00:00:00"),
    ("weekly", "Mon *-*-* 00:00:00"),
    ("yearly", "*-01-01 00:00:00"),
    ("annually", "*-01-01 00:00:00"),
    ("quarterly", "*-01,04,07,10-01 00:00:00"),
    ("semiannually", "*-01,07-01 00:00:00"),
    ("semi-annually", "*-01,07-01 00:00:00"),
    ("biannually", "*-01,07-01 00:00:00"),
];

/// A value, a range, or a value and every so many after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    first: i16,
    last: Option<i16>,
    step: i16,
}

impl Span {
    /// Whether it has a value, of a part that ends with `end`.
    fn has(self, value: i16, end: i16) -> bool {
        let last = self.last.unwrap_or(if self.step > 0 { end } else { self.first });
        let step = self.step.max(1);
        value >= self.first && value <= last && (value - self.first) % step == 0
    }
}

/// The values of one part of a date or time; none for any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Part(Vec<Span>);

impl Part {
    fn one(value: i16) -> Part {
        Part(vec![Span {
            first: value,
            last: None,
            step: 0,
        }])
    }

    fn has(&self, value: i16, end: i16) -> bool {
        self.0.is_empty() || self.0.iter().any(|span| span.has(value, end))
    }

    /// `*`, `1`, `1,4`, `1..5`, `*/15`, `0..30/10`.
    fn parse(text: &str, name: &str, (low, high): (i16, i16)) -> Result<Part> {
        let wrong = |why: String| Error::invalid(format!("the {name} `{text}` {why}"));
        if text == "*" {
            return Ok(Part::default());
        }
        let number = |word: &str| match word.parse::<i16>() {
            Ok(number) if !word.starts_with('+') && (low..=high).contains(&number) => Ok(number),
            Ok(number) if !word.starts_with(['+', '-']) => {
                Err(wrong(format!("has {number}, which is not within {low} to {high}")))
            }
            _ => Err(wrong(format!("has `{word}`, which is no number"))),
        };
        let mut spans = Vec::new();
        for item in text.split(',') {
            let (values, step) = match item.split_once('/') {
                Some((values, step)) => {
                    let step = step.parse().ok().filter(|step| *step > 0);
                    (
                        values,
                        step.ok_or_else(|| wrong(format!("repeats by `{item}`, which is no step")))?,
                    )
                }
                None => (item, 0),
            };
            spans.push(match values.split_once("..") {
                Some((first, last)) => {
                    let (first, last) = (number(first)?, number(last)?);
                    if first > last {
                        return Err(wrong(format!("has a range that ends before it begins: `{values}`")));
                    }
                    Span {
                        first,
                        last: Some(last),
                        step,
                    }
                }
                None if values == "*" && step > 0 => Span {
                    first: low,
                    last: None,
                    step,
                },
                None => Span {
                    first: number(values)?,
                    last: None,
                    step,
                },
            });
        }
        Ok(Part(spans))
    }

    fn text(&self) -> String {
        let spans = self.0.iter().map(|span| {
            let range = span
                .last
                .map_or_else(|| span.first.to_string(), |last| format!("{} to {last}", span.first));
            match span.step {
                0 => range,
                step => format!("{range} and every {step} from there"),
            }
        });
        spans.collect::<Vec<_>>().join(", ")
    }
}

/// A calendar event.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Calendar {
    /// Monday first; none for any.
    weekdays: [bool; 7],
    year: Part,
    month: Part,
    day: Part,
    /// Days are counted from the end of the month.
    from_end: bool,
    hour: Part,
    minute: Part,
    second: Part,
    /// The zone it names itself.
    pub(super) zone: Option<TimeZone>,
}

impl Calendar {
    /// Parses what systemd.time(7) calls a calendar event. Errors: `invalid`, with the part that is wrong.
    pub(super) fn parse(text: &str) -> Result<Calendar> {
        let mut words: Vec<&str> = text.split_whitespace().collect();
        let mut zone = None;
        if words.len() > 1
            && let Some(last) = words.last()
            && last.contains(|c: char| c.is_ascii_alphabetic())
            && weekdays(last).is_none()
        {
            zone = Some(super::zone(last)?);
            words.pop();
        }
        let lower = words.first().map(|word| word.to_ascii_lowercase());
        let named = WORDS.iter().find(|(word, _)| Some(*word) == lower.as_deref());
        if let (1, Some((_, full))) = (words.len(), named) {
            words = full.split_whitespace().collect();
        }
        let mut calendar = Calendar::daily(zone);
        if let Some(found) = words.first().and_then(|word| weekdays(word)) {
            calendar.weekdays = found?;
            words.remove(0);
        }
        match words[..] {
            [] if calendar.weekdays.contains(&true) => {}
            [time] if time.contains(':') => calendar.set_time(time)?,
            [date] => calendar.set_date(date)?,
            [date, time] => {
                calendar.set_date(date)?;
                calendar.set_time(time)?;
            }
            _ => {
                return Err(Error::invalid(format!("`{text}` is no calendar event"))
                    .hint("it is written as `Mon..Fri *-*-* 03:00 Europe/Paris`, each part but one of them optional"));
            }
        }
        Ok(calendar)
    }

    fn daily(zone: Option<TimeZone>) -> Calendar {
        Calendar {
            weekdays: [false; 7],
            year: Part::default(),
            month: Part::default(),
            day: Part::default(),
            from_end: false,
            hour: Part::one(0),
            minute: Part::one(0),
            second: Part::one(0),
            zone,
        }
    }

    fn set_date(&mut self, text: &str) -> Result<()> {
        let (rest, day) = match text.rsplit_once('~') {
            Some((rest, day)) => {
                self.from_end = true;
                (rest, day)
            }
            None => text.rsplit_once('-').ok_or_else(|| no_date(text))?,
        };
        let month = match rest.rsplit_once('-') {
            Some((year, month)) => {
                self.year = Part::parse(year, "year", (1970, LAST_YEAR))?;
                month
            }
            None => rest,
        };
        self.month = Part::parse(month, "month", (1, 12))?;
        self.day = Part::parse(day, "day", (1, 31))?;
        Ok(())
    }

    fn set_time(&mut self, text: &str) -> Result<()> {
        let parts: Vec<&str> = text.split(':').collect();
        let [hour, minute, rest @ ..] = &parts[..] else {
            return Err(no_time(text));
        };
        self.hour = Part::parse(hour, "hour", (0, 23))?;
        self.minute = Part::parse(minute, "minute", (0, 59))?;
        self.second = match rest {
            [] => Part::one(0),
            [second] if second.contains('.') && !second.contains("..") => {
                return Err(Error::invalid(format!("the second `{second}` is no whole one")));
            }
            [second] => Part::parse(second, "second", (0, 59))?,
            _ => return Err(no_time(text)),
        };
        Ok(())
    }

    /// The first time on the wall at or after `from`.
    pub(super) fn next(&self, from: DateTime) -> Option<DateTime> {
        let years = (from.year()..=LAST_YEAR).filter(|year| self.year.has(*year, LAST_YEAR));
        let mut dates = years.flat_map(|year| {
            let first = if year == from.year() { from.month() } else { 1 };
            let months = (first..=12).filter(|month| self.month.has(i16::from(*month), 12));
            months.flat_map(move |month| self.days(year, month))
        });
        dates.find_map(|date| {
            let earliest = if date == from.date() {
                from.time()
            } else {
                Time::midnight()
            };
            let time = (date >= from.date()).then(|| self.time(earliest)).flatten();
            time.map(|time| date.to_datetime(time))
        })
    }

    fn days(&self, year: i16, month: i8) -> impl Iterator<Item = Date> {
        let last = jiff::civil::date(year, month, 1).days_in_month();
        (1..=last).filter_map(move |day| {
            let date = jiff::civil::date(year, month, day);
            let fits = match self.from_end {
                false => self.day.has(i16::from(day), i16::from(last)),
                true => self.has_from_end(i16::from(day), i16::from(last)),
            };
            let is_weekday = !self.weekdays.contains(&true) || self.weekdays[weekday_index(date.weekday())];
            (fits && is_weekday).then_some(date)
        })
    }

    /// `~7` is the seventh day from the end, and `~7/1` that and each day after it.
    fn has_from_end(&self, day: i16, last: i16) -> bool {
        let turned = self.day.0.iter().map(|span| Span {
            first: last + 1 - span.last.unwrap_or(span.first),
            last: span.last.map(|_| last + 1 - span.first),
            step: span.step,
        });
        self.day.0.is_empty() || turned.into_iter().any(|span| span.has(day, last))
    }

    fn time(&self, earliest: Time) -> Option<Time> {
        let hours = (earliest.hour()..24).filter(|hour| self.hour.has(i16::from(*hour), 23));
        let mut times = hours.flat_map(|hour| {
            let minutes = (0..60_i8).filter(|minute| self.minute.has(i16::from(*minute), 59));
            minutes.flat_map(move |minute| {
                let seconds = (0..60_i8).filter(|second| self.second.has(i16::from(*second), 59));
                seconds.map(move |second| jiff::civil::time(hour, minute, second, 0))
            })
        });
        times.find(|time| *time >= earliest)
    }

    /// In English, such as `at 03:00 on Monday to Friday`.
    pub(super) fn words(&self) -> String {
        let mut text = self.time_words();
        if self.weekdays.contains(&true) {
            let names = WEEKDAYS
                .iter()
                .zip(self.weekdays)
                .filter(|(_, is)| *is)
                .map(|(name, _)| capital(name));
            text.push_str(&format!(", on {}", names.collect::<Vec<_>>().join(", ")));
        }
        if !self.day.0.is_empty() {
            let from = if self.from_end { " from the end" } else { "" };
            text.push_str(&format!(", on day {}{from} of the month", self.day.text()));
        } else if !self.weekdays.contains(&true) {
            text.push_str(", every day");
        }
        if !self.month.0.is_empty() {
            text.push_str(&format!(", in month {}", self.month.text()));
        }
        if !self.year.0.is_empty() {
            text.push_str(&format!(", in {}", self.year.text()));
        }
        text
    }

    fn time_words(&self) -> String {
        let single = |part: &Part| match part.0[..] {
            [
                Span {
                    first,
                    last: None,
                    step: 0,
                },
            ] => Some(first),
            _ => None,
        };
        match (single(&self.hour), single(&self.minute), single(&self.second)) {
            (Some(hour), Some(minute), Some(0)) => format!("at {hour:02}:{minute:02}"),
            (Some(hour), Some(minute), Some(second)) => format!("at {hour:02}:{minute:02}:{second:02}"),
            (None, Some(minute), Some(0)) if self.hour.0.is_empty() => format!("at minute {minute} of every hour"),
            (None, None, Some(0)) if self.hour.0.is_empty() && self.minute.0.is_empty() => "every minute".to_owned(),
            _ => {
                let part = |part: &Part, name: &str| match part.0.is_empty() {
                    true => format!("every {name}"),
                    false => format!("{name} {}", part.text()),
                };
                let mut words = vec![part(&self.hour, "hour"), part(&self.minute, "minute")];
                if single(&self.second) != Some(0) {
                    words.push(part(&self.second, "second"));
                }
                format!("at {}", words.join(", "))
            }
        }
    }
}

fn capital(word: &str) -> String {
    let (first, rest) = word.split_at(1);
    first.to_ascii_uppercase() + rest
}

fn no_date(text: &str) -> Error {
    Error::invalid(format!("`{text}` is neither a date nor a time")).hint("a date is `*-*-01`, a time `03:00`")
}

fn no_time(text: &str) -> Error {
    Error::invalid(format!("`{text}` is no time"))
        .hint("a time is `03:00` or `03:00:30`, each part as `*`, `1,4`, `1..5` or `*/15`")
}

fn weekday_index(weekday: Weekday) -> usize {
    weekday.to_monday_zero_offset().unsigned_abs().into()
}

/// `Mon`, `Mon,Thu`, `Mon..Fri`; `None` if it is something else altogether.
fn weekdays(text: &str) -> Option<Result<[bool; 7]>> {
    let text = text.strip_suffix(',').unwrap_or(text);
    if !text.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return None;
    }
    let index = |word: &str| {
        let word = word.to_ascii_lowercase();
        WEEKDAYS.iter().position(|name| word == *name || word == name[..3])
    };
    let mut found = [false; 7];
    let mut is_first = true;
    for item in text.split(',') {
        let (first, last) = item
            .split_once("..")
            .or_else(|| item.split_once('-'))
            .unwrap_or((item, item));
        let (Some(first), Some(last)) = (index(first), index(last)) else {
            if is_first {
                return None;
            }
            return Some(Err(Error::invalid(format!("`{item}` is no day of the week"))));
        };
        is_first = false;
        if first > last {
            return Some(Err(Error::invalid(format!("the days `{item}` end before they begin"))
                .hint("a week begins on Monday: write `Sat,Sun,Mon`")));
        }
        found[first..=last].fill(true);
    }
    Some(Ok(found))
}
