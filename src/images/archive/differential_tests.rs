//! The same bytes read by us, by Python's tarfile and by GNU tar: whoever smuggles lives on readers that see different archives.
//!
//! Where we accept an archive, the others see the same entries. They differ from us, knowingly, in this:
//! - What is damaged (a header, a number, a record, a lone zero block, an end in the middle) we refuse; they warn, guess or stop.
//! - Python stops without a word at a header that it cannot read, so it may see fewer entries than there are.
//! - Where GNU tar complains of anything, it may have left entries out.
//! - Times before the epoch that have a fraction GNU tar lists a second late, so its times are not compared.

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};

use super::{Entry, Kind, Mtime};
use crate::images::Limits;
use crate::images::fuzzing::{Random, named, tar_entries};
use crate::model::Digest;

/// Reads archives from standard input, each after its length, and prints what is in each, an entry a line, and `end` or `error`.
const PYTHON: &str = r#"
import sys, io, tarfile, math, hashlib, struct
kinds = {b'0': 'f', b'\0': 'f', b'7': 'f', b'S': 'f', b'1': 'h', b'2': 'l', b'3': 'c', b'4': 'b', b'5': 'd', b'6': 'p'}
def text(s): return s.encode('utf-8', 'surrogateescape').hex()
def show(t, m):
    kind = kinds.get(m.type, '?')
    size = m.size if kind == 'f' else 0
    data = '-'
    if kind == 'f' and size < 1 << 20:
        data = hashlib.sha256(t.extractfile(m).read()).hexdigest()
    link = text(m.linkname) if kind in 'hl' else ''
    device = (m.devmajor, m.devminor) if kind in 'cb' else (0, 0)
    return ' '.join(map(str, [kind, text(m.name), m.mode & 0o7777, m.uid, m.gid, math.floor(m.mtime), size, link, *device, data]))
while True:
    head = sys.stdin.buffer.read(4)
    if len(head) < 4: break
    data = sys.stdin.buffer.read(struct.unpack('<I', head)[0])
    out = []
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode='r:', encoding='utf-8', errors='surrogateescape') as t:
            for m in t: out.append(show(t, m))
        out.append('end')
    except Exception as e:
        out.append('error ' + type(e).__name__ + ' ' + str(e).replace('\n', ' '))
    print('\n'.join(out))
sys.stdout.flush()
"#;

/// Archives made of good ones by changes here and there, their checksums mended.
fn archives(count: u64) -> Vec<Vec<u8>> {
    let target = named("tar");
    let seeds = (target.seeds)();
    let mut all = seeds.clone();
    for number in 1..=count {
        let mut random = Random::new(number);
        let mut bytes = seeds[random.below(seeds.len())].clone();
        for _ in 0..=random.below(3) {
            random.change(&mut bytes, &seeds);
        }
        all.push(crate::images::fuzzing::mended(&bytes));
    }
    all
}

/// What one reader sees of an archive: a line for each entry, and whether it came to the end without complaint.
#[derive(Debug, PartialEq)]
struct View {
    entries: Vec<String>,
    is_whole: bool,
}

fn ours(bytes: &[u8], line: impl Fn(&(Entry, Vec<u8>)) -> String) -> Option<View> {
    let entries = tar_entries(bytes, &Limits::default())?;
    Some(View {
        entries: entries.iter().map(line).collect(),
        is_whole: true,
    })
}

fn letter(kind: Kind) -> char {
    match kind {
        Kind::Regular => 'f',
        Kind::Hardlink => 'h',
        Kind::Symlink => 'l',
        Kind::Character => 'c',
        Kind::Block => 'b',
        Kind::Directory => 'd',
        Kind::Fifo => 'p',
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn line(entry: &Entry, data: &[u8]) -> String {
    // Python takes the slash off a directory's name.
    let end = entry.path.iter().rposition(|byte| *byte != b'/').map_or(0, |at| at + 1);
    let path = &entry.path[..end];
    let link = if matches!(entry.kind, Kind::Hardlink | Kind::Symlink) {
        hex(&entry.link)
    } else {
        String::new()
    };
    let Mtime { seconds, .. } = entry.mtime;
    let content = match entry.kind {
        Kind::Regular => Digest::of(data).hex().to_owned(),
        _ => "-".to_owned(),
    };
    let (major, minor) = entry.device;
    format!(
        "{} {} {} {} {} {seconds} {} {link} {major} {minor} {content}",
        letter(entry.kind),
        hex(path),
        entry.mode,
        entry.uid,
        entry.gid,
        entry.size
    )
}

#[expect(clippy::disallowed_methods, reason = "a test compares with what other programs say")]
fn program(name: &str, args: &[&str]) -> Command {
    let mut command = Command::new(name);
    command.args(args).env("LC_ALL", "C").env("TZ", "UTC");
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn pythons(archives: &[Vec<u8>]) -> Vec<View> {
    let mut child = program("python3", &["-c", PYTHON])
        .spawn()
        .expect("the tests need python3");
    let mut input = child.stdin.take().unwrap();
    let mut output = String::new();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for archive in archives {
                let length = u32::try_from(archive.len()).unwrap();
                input.write_all(&length.to_le_bytes()).unwrap();
                input.write_all(archive).unwrap();
            }
        });
        child.stdout.take().unwrap().read_to_string(&mut output).unwrap();
    });
    assert!(child.wait().unwrap().success());
    let mut views = Vec::new();
    let mut entries = Vec::new();
    for line in output.lines() {
        if line == "end" || line.starts_with("error") {
            views.push(View {
                entries: std::mem::take(&mut entries),
                is_whole: line == "end",
            });
        } else {
            entries.push(line.to_owned());
        }
    }
    views
}

/// What GNU tar lists: type, mode, owner, size or device and name of each entry, and whether it had nothing to complain of.
fn gnu(dir: &std::path::Path, bytes: &[u8]) -> View {
    let path = dir.join("archive.tar");
    std::fs::write(&path, bytes).unwrap();
    let flags = "--list --verbose --verbose --numeric-owner --absolute-names --full-time --quoting-style=escape --file";
    let mut args: Vec<&str> = flags.split(' ').collect();
    args.push(path.to_str().unwrap());
    let output = program("tar", &args).output().expect("the tests need tar");
    let text = String::from_utf8_lossy(&output.stdout);
    let entries = text.lines().filter_map(|line| {
        let mut rest = line;
        let mut next = || {
            let (word, after) = rest.trim_start().split_once(' ')?;
            rest = after;
            Some(word.to_owned())
        };
        let (mode, owner, size) = (next()?, next()?, next()?);
        next()?;
        let (_, name) = rest.split_once(' ')?;
        Some(format!("{mode} {owner} {size} {}", name.trim_start()))
    });
    View {
        entries: entries.collect(),
        is_whole: output.status.success(),
    }
}

/// An entry as GNU tar lists it.
fn gnu_line(entry: &Entry) -> String {
    let letter = match entry.kind {
        Kind::Regular => '-',
        kind => letter(kind),
    };
    let bit = |at: u32, letter: char| if entry.mode >> at & 1 == 1 { letter } else { '-' };
    let mut mode: Vec<char> = (0..9)
        .rev()
        .map(|at| bit(at, ['x', 'w', 'r'][at as usize % 3]))
        .collect();
    for (bit, at, letter) in [(11, 2, 's'), (10, 5, 's'), (9, 8, 't')] {
        if entry.mode >> bit & 1 == 1 {
            mode[at] = if mode[at] == 'x' {
                letter
            } else {
                letter.to_ascii_uppercase()
            };
        }
    }
    let mode: String = mode.into_iter().collect();
    let size = match entry.kind {
        Kind::Character | Kind::Block => format!("{},{}", entry.device.0, entry.device.1),
        _ => entry.size.to_string(),
    };
    let link = match entry.kind {
        Kind::Symlink => format!(" -> {}", escaped(&entry.link)),
        Kind::Hardlink => format!(" link to {}", escaped(&entry.link)),
        _ => String::new(),
    };
    format!(
        "{letter}{mode} {}/{} {size} {}{link}",
        entry.uid,
        entry.gid,
        escaped(&entry.path).trim_start()
    )
}

fn escaped(bytes: &[u8]) -> String {
    let escape = |byte: &u8| match byte {
        0x07 => "\\a".to_owned(),
        0x08 => "\\b".to_owned(),
        b'\t' => "\\t".to_owned(),
        b'\n' => "\\n".to_owned(),
        0x0b => "\\v".to_owned(),
        0x0c => "\\f".to_owned(),
        b'\r' => "\\r".to_owned(),
        b'\\' => "\\\\".to_owned(),
        b' '..=b'~' => char::from(*byte).to_string(),
        0x7f => "\\?".to_owned(),
        other => format!("\\{other:03o}"),
    };
    bytes.iter().map(escape).collect()
}

/// Whether all of `some` are in `all`, in the same order.
fn is_part(some: &[String], all: &[String]) -> bool {
    let mut rest = all.iter();
    some.iter().all(|line| rest.any(|other| other == line))
}

/// Compares what another reader sees with what we see, archive by archive, where we accept it; the number of those.
#[track_caller]
fn compare(name: &str, must_be_same: fn(&View) -> bool, seen: impl Iterator<Item = (Option<View>, View)>) -> usize {
    let mut accepted = 0;
    let mut wrong = Vec::new();
    for (ours, theirs) in seen {
        let Some(ours) = ours else { continue };
        accepted += 1;
        // One that stops early, with or without a word, has seen less; none may see more, or anything else.
        let is_same = theirs.entries == ours.entries;
        if !is_same && (must_be_same(&theirs) || !is_part(&theirs.entries, &ours.entries)) {
            wrong.push(format!("we see {:#?}\n{name} sees {:#?}", ours.entries, theirs));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {accepted} differ, such as\n{}",
        wrong.len(),
        wrong[..wrong.len().min(6)].join("\n")
    );
    accepted
}

#[test]
fn s08_python_sees_no_other_entries() {
    let archives = archives(4000);
    let theirs = pythons(&archives);
    assert_eq!(theirs.len(), archives.len());
    let accepted = compare(
        "python",
        |_| false,
        archives
            .iter()
            .map(|bytes| ours(bytes, |(entry, data)| line(entry, data)))
            .zip(theirs),
    );
    assert!(accepted > 400, "{accepted}");
}

#[test]
fn s08_gnu_tar_sees_no_other_entries() {
    let dir = tempfile::tempdir().unwrap();
    let archives = archives(4000);
    let accepted = archives
        .iter()
        .filter_map(|bytes| Some((ours(bytes, |(entry, _)| gnu_line(entry))?, gnu(dir.path(), bytes))));
    let accepted = compare(
        "GNU tar",
        |theirs| theirs.is_whole,
        accepted.take(700).map(|(ours, theirs)| (Some(ours), theirs)),
    );
    assert!(accepted > 300, "{accepted}");
}

/// Makes what an archive can hold, odd names and owners included, in the directory it runs in.
const TREE: &str = r#"
    name() { head -c "$1" /dev/zero | tr '\0' "$2"; }
    mkdir -p "a/$(name 90 d)/$(name 80 e)" short "$(name 120 f)/$(name 120 g)"
    printf 'some text\n' > a/file
    : > empty
    printf x > "$(printf 'new\nline \\ \303\251')"
    head -c 3000 /dev/urandom > "a/$(name 90 d)/$(name 80 e)/deep"
    printf long > "$(name 120 f)/$(name 120 g)/$(name 100 h)"
    printf hundred > "$(name 98 i)"
    ln a/file b; ln a/file "short/$(name 99 j)"
    ln -s a/file link; ln -s "$(name 180 t)" far
    mkfifo pipe
    mknod null c 1 3; mknod loop b 7 300
    head -c 4096 /dev/urandom > sparse; truncate -s 57344 sparse
    head -c 5000 /dev/urandom | dd of=sparse bs=4096 seek=8 conv=notrunc status=none
    truncate -s 40000 hole
    chmod 4711 a/file; chmod 1777 short; chmod 0000 empty
    chown 1234:2097151 a/file; chown -h 7:8 link
    touch -h -d @1 link; touch -d @1700000000.75 empty; touch -d @8589934591 short"#;

/// Writes an archive of the working directory to standard output, leaving out what the format cannot hold.
const WRITER: &str = r#"
import sys, os, tarfile
with tarfile.open(fileobj=sys.stdout.buffer, mode='w|', format=getattr(tarfile, sys.argv[1])) as t:
    for top, dirs, files in os.walk('.'):
        dirs.sort()
        for name in sorted(files + dirs):
            try: t.add(os.path.join(top, name), recursive=False)
            except ValueError: pass
"#;

/// How the entry of an archive of `root` is not what is there.
fn unlike(root: &std::path::Path, entry: &Entry, data: &[u8]) -> Option<String> {
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
    let at = |path: &[u8]| root.join(std::ffi::OsStr::from_bytes(path));
    let path = at(&entry.path);
    let facts = std::fs::symlink_metadata(&path).unwrap();
    let (kind, device) = (facts.file_type(), facts.rdev());
    let is_same = match entry.kind {
        Kind::Regular => kind.is_file() && data == std::fs::read(&path).unwrap() && entry.size == facts.size(),
        Kind::Hardlink => std::fs::metadata(at(&entry.link)).unwrap().ino() == facts.ino(),
        Kind::Symlink => std::fs::read_link(&path).unwrap().as_os_str().as_bytes() == entry.link,
        Kind::Directory => kind.is_dir(),
        Kind::Fifo => kind.is_fifo(),
        Kind::Character | Kind::Block => {
            let (major, minor) = (nix::sys::stat::major(device), nix::sys::stat::minor(device));
            (kind.is_char_device() == (entry.kind == Kind::Character)) && entry.device == (major as u32, minor as u32)
        }
    };
    let told = (entry.mode, entry.uid, entry.gid, entry.mtime.seconds);
    let right = (facts.mode() & 0o7777, facts.uid(), facts.gid(), facts.mtime());
    (!is_same || told != right).then(|| format!("{}: {told:?}, not {right:?}", path.display()))
}

#[test]
fn what_gnu_tar_and_python_write_is_what_was_there() {
    let dir = tempfile::tempdir().unwrap();
    let run = |name: &str, args: &[&str]| program(name, args).current_dir(dir.path()).output().unwrap();
    assert!(
        run("sh", &["-euc", TREE]).status.success(),
        "the tests need a tree to pack"
    );
    let all = walked(dir.path());
    // The older formats have no place for long names, and the first none for devices. Long links GNU tar cuts off there, and says so.
    let mut made: Vec<(&str, usize)> = vec![
        ("--format=v7 --exclude=./far", 9),
        ("--format=ustar --exclude=./far", 14),
        ("--format=oldgnu", all),
        ("--format=gnu", all),
        ("--format=posix", all),
    ];
    let sparse = [
        "--sparse --format=gnu",
        "--sparse --format=oldgnu",
        "--sparse --sparse-version=0.0",
        "--sparse --sparse-version=0.1",
        "--sparse --sparse-version=1.0",
    ];
    made.extend(sparse.map(|options| (options, all)));
    let tars = made.iter().map(|(options, at_least)| {
        let args: Vec<&str> = ["--create", "--file=-"]
            .into_iter()
            .chain(options.split(' '))
            .chain(["."])
            .collect();
        (*options, *at_least, run("tar", &args).stdout)
    });
    let formats = [("USTAR_FORMAT", 14), ("GNU_FORMAT", all - 1), ("PAX_FORMAT", all - 1)];
    let pythons = formats.map(|(format, at_least)| (format, at_least, run("python3", &["-c", WRITER, format]).stdout));
    for (how, at_least, bytes) in tars.chain(pythons) {
        let entries = tar_entries(&bytes, &Limits::default()).unwrap_or_else(|| panic!("{how}: it is refused"));
        assert!(entries.len() >= at_least, "{how}: {} of {all}", entries.len());
        let wrong: Vec<String> = entries
            .iter()
            .filter_map(|(entry, data)| unlike(dir.path(), entry, data))
            .collect();
        assert!(wrong.is_empty(), "{how}: {wrong:#?}");
    }
}

/// How many entries there are in a directory, itself included.
fn walked(dir: &std::path::Path) -> usize {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    1 + entries
        .map(|entry| match entry.file_type().unwrap().is_dir() {
            true => walked(&entry.path()),
            false => 1,
        })
        .sum::<usize>()
}
