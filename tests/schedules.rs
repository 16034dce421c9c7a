//! When jobs run: compared with `systemd-analyze` over ten years in zones with all kinds of clocks, and told to people.

use hoist::model::{Schedule, zone};
use jiff::Timestamp;

use crate::harness::Hoist;
use crate::harness::calendar::{EVENTS, ZONES, told};

/// How many times are compared from each beginning.
const TIMES: usize = 100;

#[test]
fn calendar_events_come_when_systemd_says() {
    for name in ZONES {
        for event in EVENTS {
            let schedule = Schedule::parse(event, &zone(name).unwrap()).unwrap();
            // Over the changes of the clocks of one year, and from ten years of rare days.
            for base in ["2026-03-01T00:00:00Z", "2026-10-01T00:00:00Z", "2016-01-01T00:00:00Z"] {
                let after: Timestamp = base.parse().unwrap();
                let expected = told(event, name, after, TIMES);
                assert!(!expected.is_empty(), "{event} in {name}");
                let times = std::iter::successors(schedule.next(after), |time| schedule.next(*time));
                let times: Vec<Timestamp> = times.take(expected.len()).collect();
                assert_eq!(times, expected, "{event} in {name} from {base}");
            }
        }
    }
}

#[test]
fn a_timer_comes_whenever_the_schedule_does() {
    let utc = zone("UTC").unwrap();
    for text in [
        "30 3 * * *",
        "*/20 9-17 * * MON-FRI",
        "0 0 1,15 * 0",
        "5 4 */10 * SUN",
        "0 0 29 2 *",
        "59 23 31 * *",
        "0 8-18/5 * JAN-MAR 6,7",
        "@weekly",
        "@yearly",
        "@every 15m",
        "@every 8h",
    ] {
        let schedule = Schedule::parse(text, &utc).unwrap();
        let after: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let lists: Vec<Vec<Timestamp>> = schedule
            .calendar_events()
            .iter()
            .map(|event| told(event.trim_end_matches(" UTC"), "UTC", after, TIMES))
            .collect();
        // All lists go at least as far as the one that ends first.
        let end = lists.iter().map(|list| *list.last().unwrap()).min().unwrap();
        let mut expected: Vec<Timestamp> = lists.concat().into_iter().filter(|time| *time <= end).collect();
        expected.sort();
        expected.dedup();
        let times = std::iter::successors(schedule.next(after), |time| schedule.next(*time));
        assert_eq!(times.take(expected.len()).collect::<Vec<_>>(), expected, "{text}");
    }
}

#[test]
fn a_check_tells_what_a_schedule_means() {
    let hoist = Hoist::new();
    let path = hoist.write(
        "nightly.rhai",
        "//! Cleans up.\n//! schedule: 30 3 * * *\n//! timezone: Asia/Kathmandu\nfs::write(\"ran\", \"\");\n",
    );
    let path = path.to_str().unwrap();
    let output = hoist.run(&["jobs", "check", path]).success();
    let lines: Vec<&str> = output.stdout.lines().collect();
    assert_eq!(lines[0], format!("{path}: At 03:30 (Asia/Kathmandu)"));
    assert_eq!(lines.len(), 6);
    assert!(
        lines[1..].iter().all(|line| line.ends_with(" 03:30:00 +05:45")),
        "{}",
        output.stdout
    );
    let told = hoist.run(&["--format", "json", "jobs", "check", path]).success().json();
    assert_eq!(
        (&told[0]["schedule"], told[0]["next"].as_array().unwrap().len()),
        (&"30 3 * * *".into(), 5)
    );
    assert!(!hoist.file("ran").exists());
}

#[test]
fn a_mistake_in_a_schedule_is_told_with_its_line() {
    let hoist = Hoist::new();
    for (header, words) in [
        ("//! schedule: * */15 * * * *", "line 1 of the header of"),
        (
            "//! schedule: * */15 * * * *",
            "there is no field for seconds: `*/15 * * * *`?",
        ),
        (
            "//! schedule: 0 3 * * *\n//! timezone: Europe/Pariss",
            "line 2 of the header of",
        ),
        ("//! timezone: Europe/Paris", "a time zone without a schedule"),
        (
            "//! schedule: 0 3 * * *\n//! schedule: 0 4 * * *",
            "`schedule` is said twice",
        ),
        ("//! Cleans up.", "its header has no schedule"),
    ] {
        let path = hoist.write("job.rhai", format!("{header}\n1"));
        let output = hoist.run(&["jobs", "check", path.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(2), "{header}");
        assert!(output.stderr.contains(words), "{header}\n{}", output.stderr);
    }
}
