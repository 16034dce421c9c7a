//! Calendar events in zones with all kinds of clocks, and when they come by systemd's word.

use jiff::Timestamp;

use super::program;

/// Calendar events. Those that systemd 252 gets wrong are not among them: steps that do not divide the hour lose the full one at midnight, and
/// Morocco's clock, which goes back for a month, loses a day.
pub(crate) const EVENTS: [&str; 27] = [
    "*-*-* 02:30",
    "*-*-* *:30",
    "Mon..Fri 03:00",
    "*-*~1 02:30",
    "quarterly",
    "weekly",
    "Mon *-*-1..7 04:00",
    "*-*-* 0/6:15",
    "Sat,Sun 2,14:30:15",
    "*-02-29 12:00",
    "*-*-31 23:59:59",
    "*-*-* 01..03:00/20",
    "2026..2036-*-01",
    "*-3,10-* 02,03:0/10",
    "*-*~7/1 06:00",
    "*-02~03",
    "monthly",
    "*-01/3-15 00:30",
    "Wed,Fri..Sat 1..5:00",
    "*:*:10",
    "*-*-1/10 2:15",
    "yearly",
    "minutely",
    "*-1..6/2-2..28/5 3:00",
    "Sun 02:00",
    "semiannually",
    "*-12-25..31 1:05",
];

/// Zones with clocks of all kinds.
pub(crate) const ZONES: [&str; 8] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "America/Sao_Paulo",
    "Pacific/Apia",
    "Asia/Tokyo",
];

/// The times that systemd tells from a time on. It is asked in the zone: of another one's time it makes a process for each answer.
pub(crate) fn told(event: &str, zone: &str, base: Timestamp, count: usize) -> Vec<Timestamp> {
    let mut command = program("systemd-analyze");
    let base = base.strftime("%Y-%m-%d %H:%M:%S UTC");
    command
        .args([
            "calendar",
            &format!("--base-time={base}"),
            &format!("--iterations={count}"),
        ])
        .arg(event)
        .env("TZ", zone);
    let output = command.output().expect("systemd-analyze is there");
    assert!(
        output.status.success(),
        "{event}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().filter_map(|line| line.trim().split_once(": "));
    let is_wanted = |name: &str| match zone {
        "UTC" => name == "Next elapse" || name.starts_with("Iter. #"),
        _ => name == "(in UTC)",
    };
    let times = lines.filter(|(name, text)| is_wanted(name) && *text != "never");
    times
        .map(|(_, text)| {
            let words: Vec<&str> = text.split(' ').collect();
            format!("{}T{}Z", words[1], words[2]).parse().unwrap()
        })
        .collect()
}
