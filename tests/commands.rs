//! Docker's command line, side by side: `commands/recorded.txt` has command lines and what Docker makes of them, and where Hoist differs
//! on purpose, what it says and why. One test holds the record to the real Docker, one holds Hoist to the record.

use regex::Regex;

use crate::harness::{Hoist, PROGRAM, Peers, inputs, program};

const DRIVER: &str = include_str!("commands/driver.sh");
const RECORD: &str = include_str!("commands/recorded.txt");

/// What came of a command line.
#[derive(Debug, PartialEq)]
struct Told {
    line: String,
    docker: Vec<String>,
    /// Why Hoist differs, and what it says.
    ours: Option<(String, Vec<String>)>,
}

/// A line without what differs from run to run: ids, ages, sizes, and how wide columns are.
fn plain(line: &str) -> String {
    let rules = [
        (r"[0-9a-f]{64}", "ID"),
        (r"\b[0-9a-f]{12}\b", "ID"),
        (
            r"(About an? \w+|Less than a second|\d+ (seconds?|minutes|hours|days|weeks|months|years))",
            "AGE",
        ),
        (r"\b\d+(\.\d+)?[kM]?B\b", "SIZE"),
        // Docker takes one of the two by chance.
        (r"S?(See|Run) '", "Run '"),
        (r" {3,}", "   "),
    ];
    let plain = |line: String, (pattern, word): (&str, &str)| {
        Regex::new(pattern).unwrap().replace_all(&line, word).into_owned()
    };
    rules.into_iter().fold(line.to_owned(), plain).trim_end().to_owned()
}

/// The blocks of a record, or of what the driver tells.
fn read(text: &str) -> Vec<Told> {
    let mut all: Vec<Told> = Vec::new();
    for line in text.lines() {
        if line.starts_with("$ docker") {
            all.push(Told {
                line: line.to_owned(),
                docker: Vec::new(),
                ours: None,
            });
            continue;
        }
        let Some(last) = all.last_mut() else { continue };
        let line = plain(line);
        match (line.strip_prefix("! "), &mut last.ours) {
            (Some(why), _) => last.ours = Some((why.to_owned(), Vec::new())),
            // The machine's, not Docker's.
            _ if line.is_empty() || line.contains("IPv4 forwarding") => {}
            (None, Some((_, ours))) => ours.push(line),
            (None, None) => last.docker.push(line),
        }
    }
    for told in &mut all {
        // Docker removes them in any order.
        if told.docker.first().is_some_and(|line| line == "Deleted Volumes:") {
            told.docker[1..].sort();
        }
    }
    all
}

#[track_caller]
fn assert_told(told: &[Told], expected: impl Fn(&Told) -> Vec<String>) {
    let record = read(RECORD);
    assert_eq!(told.len(), record.len());
    let mut faults = Vec::new();
    for (told, recorded) in told.iter().zip(&record) {
        assert_eq!(told.line, recorded.line);
        let expected = expected(recorded);
        if told.docker != expected {
            faults.push(format!(
                "{}\n  told: {:#?}\n  expected: {expected:#?}",
                told.line, told.docker
            ));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_record_is_what_docker_says() {
    let peers = Peers::new();
    let lines = peers.file("lines.txt");
    std::fs::write(&lines, RECORD).unwrap();
    let image = inputs::path("busybox.docker.tar");
    let output = peers.docker(DRIVER, &[image.to_str().unwrap(), lines.to_str().unwrap()]);
    let told = read(&output.success().stdout);
    assert_told(&told, |recorded| recorded.docker.clone());
}

#[test]
fn hoist_says_what_docker_says_but_for_what_is_written_down() {
    let hoist = Hoist::new();
    let lines = hoist.write("lines.txt", RECORD);
    let bin = hoist.file("bin");
    std::fs::create_dir(&bin).unwrap();
    std::os::unix::fs::symlink(PROGRAM, bin.join("docker")).unwrap();
    let mut shell = program("sh");
    shell.args(["-euc", DRIVER, "sh"]);
    shell
        .arg(inputs::path("busybox.docker.tar"))
        .arg(lines)
        .current_dir(hoist.dir());
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin:/sbin", bin.display());
    shell
        .env("PATH", path)
        .env("HOIST_ROOT", hoist.root())
        .env("HOIST_RUN_ROOT", hoist.run_root());
    shell.env("HOME", hoist.dir()).env("TZ", "UTC");
    let output = crate::harness::Output::of(shell, None);
    let told = read(&output.success().stdout);
    assert_told(&told, |recorded| match &recorded.ours {
        Some((_, ours)) => ours.clone(),
        None => recorded.docker.clone(),
    });
}

#[test]
fn a_command_of_ones_own_comes_first() {
    let hoist = Hoist::new();
    let config = hoist.dir().parent().unwrap().join("home/own");
    let commands = config.join("commands");
    std::fs::create_dir_all(&commands).unwrap();
    let write = |name: &str, code: &str| std::fs::write(commands.join(name), code).unwrap();
    write(
        "hello.rhai",
        "//! Greets\n//! arg: name string = you\nprint(`hello ${arg::name} ${args.len()}`);",
    );
    write("ps.rhai", "//! Lists nothing\nprint(\"nothing\");");
    write("wrong.rhai", "//! arg: keep integer\n1");
    let own = |words: &[&str]| {
        let mut command = hoist.command(words).into_command();
        command.env("HOIST_COMMANDS", &commands);
        crate::harness::Output::of(command, None)
    };
    own(&["hello", "me"]).success().stdout_is("hello me 1");
    own(&["hello"]).success().stdout_is("hello you 0");
    own(&["ps"]).success().stdout_is("nothing");
    own(&["container", "ls"]).success().stdout_is("nothing");
    own(&["wrong"])
        .fails_with(2)
        .stderr_has(&["line 1 of the header", "unknown type `integer`"]);
    own(&["--help"]).success().stdout_has(&["hello, ps, wrong"]);
    own(&["helo"])
        .fails_with(2)
        .stderr_has(&["did you mean `hoist hello`?"]);
}

#[test]
fn flags_of_every_command_may_stand_behind_one_as_well() {
    let (hoist, other) = (Hoist::with_busybox(), Hoist::new());
    let (root, run_root) = (other.root(), other.run_root());
    let elsewhere = [
        "--root",
        root.to_str().unwrap(),
        "--run-root",
        run_root.to_str().unwrap(),
    ];
    hoist
        .run(&[&["images", "-q"], &elsewhere[..]].concat())
        .success()
        .stdout_is("");
    hoist
        .run(&["rmi", "busybox", "--dry-run"])
        .success()
        .stderr_has(&["dry run: nothing was changed", "image::remove"]);
    hoist
        .run(&["rmi", "--deny-delete", "busybox"])
        .fails_with(3)
        .stderr_has(&["is not allowed to delete"]);
    // A command's own flags come first, and words of another command line are left alone.
    hoist
        .run(&["images", "--format", "{{.Repository}}"])
        .success()
        .stdout_is("busybox\n");
    hoist
        .run(&["container", "run", "--rm", "busybox", "echo", "--dry-run"])
        .success()
        .stdout_is("--dry-run\n");
    hoist
        .run(&["ps", "--log-level", "loud"])
        .fails_with(2)
        .stderr_has(&["invalid value 'loud' for '--log-level"]);
    hoist
        .run(&["docker", "ps", "--dry-run"])
        .fails_with(125)
        .stderr_has(&["unknown flag: --dry-run"]);
}

#[test]
fn who_asks_for_what_docker_has_alone_is_told_what_there_is() {
    let hoist = Hoist::new();
    hoist
        .run(&["run", "--publish", "80:80", "web"])
        .fails_with(2)
        .stderr_has(&["`hoist run` runs scripts", "`--publish`", "hoist container run"]);
    for words in [["-p", "80:80"], ["--publish", "80:80"], ["-P", ""]] {
        hoist
            .run(&["container", "run", words[0], words[1], "web"])
            .fails_with(125)
            .stderr_has(&["unknown", "publishes no ports", "--network host"]);
    }
    hoist
        .run(&["build", "."])
        .fails_with(2)
        .stderr_has(&["Hoist reads no Dockerfiles", "`hoist commit`"]);
    hoist
        .run(&["network", "ls"])
        .fails_with(2)
        .stderr_has(&["--network container:NAME"]);
}

#[test]
fn files_go_into_containers_and_out_of_them_as_tar_on_the_standard_streams() {
    let hoist = Hoist::with_busybox();
    hoist
        .eval(r#"container::run_detached("busybox", ["sleep", "1000"], #{name: "web"}); ()"#)
        .success();
    hoist
        .run(&["exec", "web", "sh", "-c", "echo kept > /tmp/file"])
        .success();
    let packed = hoist.file("packed.tar");
    let mut out = hoist.command(&["cp", "web:/tmp/file", "-"]).into_command();
    out.stdout(std::fs::File::create(&packed).unwrap());
    assert!(out.status().unwrap().success());
    let mut names = program("tar");
    names.arg("-tf").arg(&packed);
    crate::harness::Output::of(names, None).success().stdout_is("file\n");
    let tar = std::fs::read(&packed).unwrap();
    hoist.command(&["cp", "-", "web:/root"]).stdin(tar).output().success();
    hoist
        .run(&["exec", "web", "cat", "/root/file"])
        .success()
        .stdout_is("kept\n");
}

#[test]
fn sizes_are_shown_and_a_program_goes_on_in_the_background() {
    let hoist = Hoist::with_busybox();
    hoist
        .eval(r#"container::run_detached("busybox", ["sleep", "1000"], #{name: "web"}); ()"#)
        .success();
    hoist
        .run(&[
            "exec",
            "-d",
            "web",
            "sh",
            "-c",
            "head -c 100000 /dev/zero > /big; touch /done; sleep 1000",
        ])
        .success()
        .stdout_is("");
    let end = std::time::Instant::now() + crate::harness::PATIENCE;
    while hoist.value(r#"container::get("web").diff().some(|one| one.path == "/done")"#) != true {
        assert!(std::time::Instant::now() < end, "it does not go on");
    }
    let shown = hoist.run(&["ps", "--size", "--format", "{{.Size}}"]).success().stdout;
    let sizes = Regex::new(r"^1\d\dkB \(virtual [0-9.]+MB\)\n$").unwrap();
    assert!(sizes.is_match(&shown), "{shown}");
    hoist.run(&["ps", "-s"]).success().stdout_has(&["SIZE", "(virtual "]);
}

#[test]
fn a_person_who_removes_an_image_is_told_how_to_take_it_back() {
    // On a disk with room, without which nothing is kept.
    let hoist = Hoist::on_disk("64m").keeping_trash("1h");
    hoist.import_busybox();
    hoist
        .eval(r#"for tag in ["app:1", "app:2"] { image::tag("busybox", tag); }"#)
        .success();
    // Not a program that reads what is said, and not where nothing can be taken back.
    hoist.run(&["rmi", "app:1"]).success().stderr_is("");
    hoist.eval("system::empty_trash()").success();
    let on_screen = |words: &[&str]| hoist.command(words).env("TERM", "xterm").on_screen();
    let mut screen = on_screen(&["rmi", "app:2", "--trash", "0"]);
    screen.wait_for("Untagged: app:2");
    assert_eq!(screen.code(), 0);
    assert!(!screen.shown().contains("hoist undo"), "{}", screen.shown());
    let mut screen = on_screen(&["rmi", "busybox"]);
    screen.wait_for("`hoist undo` takes the removal back");
    assert_eq!(screen.code(), 0);
    hoist.run(&["undo"]).success();
    assert_eq!(hoist.value(r#"image::exists("busybox")"#), true);
}

/// A shell with completion set up, on a store with an image `busybox` and a container `web`.
fn completing(hoist: &Hoist, shell: &str, args: &[&str], set_up: &str) -> crate::harness::Screen {
    let bin = std::path::Path::new(PROGRAM).parent().unwrap();
    let mut outer = program("setsid");
    outer.args(["--ctty", shell]).args(args).current_dir(hoist.dir());
    outer.env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", bin.display()));
    outer.env("HOME", hoist.dir()).env("TERM", "xterm").env("PS1", "> ");
    outer
        .env("HOIST_ROOT", hoist.root())
        .env("HOIST_RUN_ROOT", hoist.run_root());
    let mut screen = crate::harness::Screen::start(outer);
    screen.press(&format!("{set_up}; echo rea''dy\n"));
    screen.wait_for("ready");
    screen
}

#[test]
fn shells_complete_commands_flags_and_names_that_there_are() {
    let hoist = Hoist::with_busybox();
    hoist
        .eval(r#"container::create("busybox", ["true"], #{name: "web"})"#)
        .success();
    hoist.write(
        "keep.rhai",
        "//! Keeps\n//! flag: older-than duration\n//! arg: how choice(slowly|fast)\nprint(1);",
    );
    for (shell, args, set_up) in [
        (
            "bash",
            ["--norc", "--noprofile", "-i"].as_slice(),
            "bind 'set bell-style none'; source <(hoist completions bash)",
        ),
        (
            "zsh",
            &["-f", "-i"],
            "autoload -U compinit; compinit -u; source <(hoist completions zsh)",
        ),
        ("fish", &["--no-config", "-i"], "hoist completions fish | source"),
    ] {
        let mut screen = completing(&hoist, shell, args, set_up);
        for (typed, completed) in [
            ("hoist unpa\t", "hoist unpause "),
            ("hoist container unpa\t", "hoist container unpause "),
            ("hoist ps --no-t\t", "hoist ps --no-trunc "),
            ("hoist rm we\t", "hoist rm web "),
            ("hoist inspect busyb\t", "hoist inspect busybox:latest "),
            ("hoist run keep.rhai --old\t", "hoist run keep.rhai --older-than "),
            ("hoist run keep.rhai slo\t", "hoist run keep.rhai slowly "),
            (
                "hoist docker create --memory-sw\t",
                "hoist docker create --memory-swap ",
            ),
        ] {
            // With `echo` put before it, the line is shown as it would be run.
            screen.press(&format!("{typed}END\x01echo \n"));
            screen.wait_for(&format!("{completed}END"));
        }
        screen.press("exit\n");
        screen.wait();
    }
}

#[test]
fn the_program_is_asked_what_may_come_next() {
    let hoist = Hoist::with_busybox();
    hoist
        .eval(r#"container::create("busybox", ["true"], #{name: "web"})"#)
        .success();
    let (root, run_root) = (hoist.root(), hoist.run_root());
    let store = [
        "--root",
        root.to_str().unwrap(),
        "--run-root",
        run_root.to_str().unwrap(),
    ];
    let asked = |words: &[&str]| {
        let words = [&["__complete"], &store[..], words].concat();
        hoist.run(&words).success().stdout
    };
    let words = |text: String| {
        text.lines()
            .map(|line| line.split('\t').next().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(words(asked(&["sta"])), ["start", "stats", ":files"]);
    assert_eq!(words(asked(&["container", "st"])), ["start", "stats", "stop"]);
    assert_eq!(words(asked(&["ps", "--no"])), ["--no-trunc"]);
    assert_eq!(words(asked(&["start", "-a", ""])), ["web"]);
    assert_eq!(
        words(asked(&["inspect", "--type", ""])),
        ["container", "image", "volume"]
    );
    assert_eq!(words(asked(&["inspect", "--type=im"])), ["--type=image"]);
    assert_eq!(words(asked(&["docker", "run", "-it", "bu"])), ["busybox:latest"]);
    assert_eq!(words(asked(&["exec", "web", "l"])), [":files"]);
    assert_eq!(words(asked(&["completions", "z"])), ["zsh"]);
    assert_eq!(words(asked(&["pull", ""])), [""; 0]);
    // To look is not to make.
    let none = hoist.file("none");
    hoist
        .command(&["__complete", "--root", none.to_str().unwrap(), "rm", ""])
        .output()
        .success()
        .stdout_is("");
    assert!(!none.exists());
}
