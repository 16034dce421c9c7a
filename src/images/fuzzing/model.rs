//! What a layer means, said as plainly as it can be: a tree in memory, which the one on disk must equal.

use std::collections::BTreeMap;

use crate::images::archive::{Entry, Kind};
use crate::images::content::Record;
use crate::images::path_text;

const ROOT: usize = 0;
/// As many links as the kernel follows in one path (path_resolution(7)).
const LINKS: usize = 40;
const LONGEST_NAME: usize = 255;

/// The tree. Nodes are never removed; one that no directory names any more is gone.
pub(super) struct Model {
    nodes: Vec<Node>,
    /// Hard links whose targets had not come yet, in the end never, by their directories and names.
    late: BTreeMap<(usize, Vec<u8>), Entry>,
    /// Bytes of all files that came.
    size: u64,
}

struct Node {
    what: What,
    is_named: bool,
    mode: u32,
    owner: (u32, u32),
    time: (i64, u32),
}

enum What {
    Directory {
        names: BTreeMap<Vec<u8>, usize>,
        is_opaque: bool,
    },
    File(Vec<u8>),
    Symlink(Vec<u8>),
    Special(Kind, (u32, u32)),
    Whiteout,
}

/// Why there is no tree: the layer is to be refused.
#[derive(Debug)]
pub(super) struct Refused;

type Result<T> = std::result::Result<T, Refused>;

impl Model {
    /// The tree of a layer.
    pub(super) fn of(entries: &[(Entry, Vec<u8>)]) -> Result<Model> {
        let mut model = Model {
            nodes: vec![directory(false)],
            late: BTreeMap::new(),
            size: 0,
        };
        for (entry, data) in entries {
            model.apply(entry, data)?;
        }
        model.make_late_links()?;
        model.drop_whiteouts(ROOT, false);
        Ok(model)
    }

    fn apply(&mut self, entry: &Entry, data: &[u8]) -> Result<()> {
        let parts = normal(&entry.path)?;
        let Some((name, parent)) = parts.split_last() else {
            let is_directory = entry.kind == Kind::Directory;
            self.nodes[ROOT].take(entry);
            return is_directory.then_some(()).ok_or(Refused);
        };
        if parts
            .iter()
            .any(|part| part.starts_with(b".wh..wh.") && part != b".wh..wh..opq")
        {
            return Ok(());
        }
        if parent.iter().any(|part| part.starts_with(b".wh.")) {
            return Err(Refused);
        }
        match name.strip_prefix(b".wh.") {
            Some(b".wh..opq") => {
                let dir = self.walk(parent, true)?.ok_or(Refused)?;
                self.set_opaque(dir);
                Ok(())
            }
            Some(b"" | b"." | b"..") => Err(Refused),
            Some(hidden) => self.hide(parent, hidden),
            None if entry.kind == Kind::Character && entry.device == (0, 0) => self.hide(parent, name),
            None => self.place(parent, name, entry, data),
        }
    }

    /// What this layer has under the name stays; a directory loses what lies below.
    fn hide(&mut self, parent: &[Vec<u8>], name: &[u8]) -> Result<()> {
        let dir = self.walk(parent, true)?.ok_or(Refused)?;
        if name.len() > LONGEST_NAME {
            return Err(Refused);
        }
        match self.child(dir, name) {
            None => {
                self.add(dir, name, What::Whiteout);
            }
            Some(child) if self.is_directory(child) => self.set_opaque(child),
            Some(_) => {}
        }
        Ok(())
    }

    fn place(&mut self, parent: &[Vec<u8>], name: &[u8], entry: &Entry, data: &[u8]) -> Result<()> {
        let dir = self.walk(parent, true)?.ok_or(Refused)?;
        if name.len() > LONGEST_NAME {
            return Err(Refused);
        }
        let before = self.child(dir, name);
        let node = match entry.kind {
            Kind::Hardlink => {
                if !self.link(dir, name, entry)? {
                    // What is there by then came later, and stays.
                    if before.is_some_and(|before| !self.is_whiteout(before)) {
                        self.remove(dir, name);
                    }
                    self.late.insert((dir, name.to_vec()), entry.clone());
                }
                return Ok(());
            }
            Kind::Directory => match before {
                Some(before) if self.is_directory(before) => before,
                _ => {
                    let was_hidden = before.is_some_and(|before| self.is_whiteout(before));
                    self.add(dir, name, directory(was_hidden).what)
                }
            },
            Kind::Regular => {
                self.size += data.len() as u64;
                self.add(dir, name, What::File(data.to_vec()))
            }
            Kind::Symlink if entry.link.is_empty() => return Err(Refused),
            Kind::Symlink => self.add(dir, name, What::Symlink(entry.link.clone())),
            kind => self.add(dir, name, What::Special(kind, entry.device)),
        };
        self.nodes[node].take(entry);
        Ok(())
    }

    /// Makes a hard link; false if its target is not there yet.
    fn link(&mut self, dir: usize, name: &[u8], entry: &Entry) -> Result<bool> {
        let target = normal(&entry.link)?;
        let (last, above) = target.split_last().ok_or(Refused)?;
        let Some(source) = self.walk(above, false)? else {
            return Ok(false);
        };
        let Some(found) = self.child(source, last) else {
            return Ok(false);
        };
        match &self.nodes[found].what {
            What::Directory { .. } => return Err(Refused),
            What::Whiteout => return Ok(false),
            _ => {}
        }
        // The directory in which the target is found must not go with what the link replaces.
        let before = self.child(dir, name);
        if before.is_some_and(|before| before == source || self.holds(before, source)) {
            return Err(Refused);
        }
        self.name(dir, name, found);
        Ok(true)
    }

    /// Links to links: as long as one succeeds, another may. Those whose targets never come are for the layers below.
    fn make_late_links(&mut self) -> Result<()> {
        let mut late = std::mem::take(&mut self.late);
        // What has taken the place of a directory came later than what was to be in it.
        late.retain(|(dir, _), _| *dir == ROOT || self.holds(ROOT, *dir));
        loop {
            let before = late.len();
            let mut missing = BTreeMap::new();
            for ((dir, name), entry) in late {
                let child = self.child(dir, &name);
                if child.is_none_or(|child| self.is_whiteout(child)) && !self.link(dir, &name, &entry)? {
                    missing.insert((dir, name), entry);
                }
            }
            if missing.len() == before {
                self.late = missing;
                return Ok(());
            }
            late = missing;
        }
    }

    /// In and below a directory that hides all below it, a whiteout hides nothing, and the kernel would list it.
    fn drop_whiteouts(&mut self, dir: usize, is_hidden: bool) {
        let What::Directory { names, is_opaque } = &mut self.nodes[dir].what else {
            return;
        };
        let (is_hidden, children) = (is_hidden || *is_opaque, names.clone());
        for (name, child) in children {
            if is_hidden
                && matches!(self.nodes[child].what, What::Whiteout)
                && let What::Directory { names, .. } = &mut self.nodes[dir].what
            {
                names.remove(&name);
            }
            self.drop_whiteouts(child, is_hidden);
        }
    }

    /// The directory at a path as a process in the root would find it, made where it is missing, if that is asked for.
    fn walk(&mut self, path: &[Vec<u8>], make: bool) -> Result<Option<usize>> {
        let mut waiting: Vec<Vec<u8>> = path.iter().rev().cloned().collect();
        let (mut trail, mut links) = (vec![ROOT], 0);
        while let Some(part) = waiting.pop() {
            let here = trail[trail.len() - 1];
            match (part.as_slice(), self.child(here, &part)) {
                (b"" | b".", _) => {}
                (b"..", _) => trail.truncate((trail.len() - 1).max(1)),
                (_, None) if !make => return Ok(None),
                (name, None) if name.len() > LONGEST_NAME => return Err(Refused),
                (name, None) => trail.push(self.add(here, name, directory(false).what)),
                (name, Some(child)) => match &self.nodes[child].what {
                    What::Directory { .. } => trail.push(child),
                    What::Symlink(target) => {
                        links += 1;
                        if links > LINKS {
                            return Err(Refused);
                        }
                        if target.starts_with(b"/") {
                            trail.truncate(1);
                        }
                        waiting.extend(target.split(|byte| *byte == b'/').rev().map(<[u8]>::to_vec));
                    }
                    What::Whiteout if make => trail.push(self.add(here, name, directory(true).what)),
                    _ if make => return Err(Refused),
                    _ => return Ok(None),
                },
            }
        }
        Ok(trail.pop())
    }

    fn child(&self, dir: usize, name: &[u8]) -> Option<usize> {
        match &self.nodes[dir].what {
            What::Directory { names, .. } => names.get(name).copied(),
            _ => None,
        }
    }

    fn add(&mut self, dir: usize, name: &[u8], what: What) -> usize {
        let node = Node {
            what,
            ..directory(false)
        };
        self.nodes.push(node);
        self.name(dir, name, self.nodes.len() - 1);
        self.nodes.len() - 1
    }

    fn name(&mut self, dir: usize, name: &[u8], node: usize) {
        if let What::Directory { names, .. } = &mut self.nodes[dir].what {
            names.insert(name.to_vec(), node);
        }
    }

    fn remove(&mut self, dir: usize, name: &[u8]) {
        if let What::Directory { names, .. } = &mut self.nodes[dir].what {
            names.remove(name);
        }
    }

    fn is_whiteout(&self, node: usize) -> bool {
        matches!(self.nodes[node].what, What::Whiteout)
    }

    fn is_directory(&self, node: usize) -> bool {
        matches!(self.nodes[node].what, What::Directory { .. })
    }

    fn set_opaque(&mut self, dir: usize) {
        if let What::Directory { is_opaque, .. } = &mut self.nodes[dir].what {
            *is_opaque = true;
        }
    }

    fn holds(&self, dir: usize, node: usize) -> bool {
        match &self.nodes[dir].what {
            What::Directory { names, .. } => names.values().any(|child| *child == node || self.holds(*child, node)),
            _ => false,
        }
    }

    /// One line for everything in the tree, the root first; a file with several names tells the first of them.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut all = BTreeMap::new();
        self.collect(ROOT, Vec::new(), &mut all);
        let mut first: BTreeMap<usize, &[u8]> = BTreeMap::new();
        for (path, node) in &all {
            first.entry(*node).or_insert(path);
        }
        let line = |(path, node): (&Vec<u8>, &usize)| self.nodes[*node].line(path, first[node]);
        all.iter().map(line).collect()
    }

    /// What is known of the layer besides its tree.
    pub(super) fn record(&self) -> Record {
        let mut all = BTreeMap::new();
        self.collect(ROOT, Vec::new(), &mut all);
        let implied = all
            .iter()
            .filter(|(_, node)| **node != ROOT && self.is_directory(**node) && !self.nodes[**node].is_named);
        let hiding = all.iter().filter(|(_, node)| self.has_whiteout(**node));
        let links = self.late.iter().map(|((dir, name), entry)| {
            let above = all
                .iter()
                .find(|(_, node)| *node == dir)
                .expect("those that are gone have none");
            let path = crate::images::tree::join(above.0, name);
            let target = normal(&entry.link).unwrap_or_default().join(&b'/');
            (path_text::encode(&path), path_text::encode(&target))
        });
        Record {
            size: self.size,
            implied: implied.map(|(path, _)| path_text::encode(path)).collect(),
            links: links.collect(),
            hiding: hiding.map(|(path, _)| path_text::encode(path)).collect(),
            root_implied: !self.nodes[ROOT].is_named,
        }
    }

    fn has_whiteout(&self, node: usize) -> bool {
        let is_whiteout = |child: &usize| matches!(self.nodes[*child].what, What::Whiteout);
        matches!(&self.nodes[node].what, What::Directory { names, .. } if names.values().any(is_whiteout))
    }

    fn collect(&self, node: usize, path: Vec<u8>, all: &mut BTreeMap<Vec<u8>, usize>) {
        if let What::Directory { names, .. } = &self.nodes[node].what {
            for (name, child) in names {
                self.collect(*child, crate::images::tree::join(&path, name), all);
            }
        }
        all.insert(path, node);
    }
}

impl Node {
    fn take(&mut self, entry: &Entry) {
        self.is_named = true;
        self.mode = entry.mode;
        self.owner = (entry.uid, entry.gid);
        self.time = (entry.mtime.seconds, entry.mtime.nanos);
    }

    fn line(&self, path: &[u8], first: &[u8]) -> String {
        let what = match &self.what {
            What::Whiteout => return super::layer::line(path, "whiteout", None, first),
            What::Directory { is_opaque: true, .. } => "opaque directory".to_owned(),
            What::Directory { .. } => "directory".to_owned(),
            What::File(data) => format!("file {}", data.escape_ascii()),
            What::Symlink(target) => format!("symlink {}", target.escape_ascii()),
            What::Special(kind, device) => format!("{kind:?} {device:?}"),
        };
        let mode = if matches!(self.what, What::Symlink(_)) {
            0o777
        } else {
            self.mode
        };
        super::layer::line(path, &what, Some((mode, self.owner, self.time)), first)
    }
}

/// A directory that no entry named.
fn directory(is_opaque: bool) -> Node {
    Node {
        what: What::Directory {
            names: BTreeMap::new(),
            is_opaque,
        },
        is_named: false,
        mode: 0o755,
        owner: (0, 0),
        time: (0, 0),
    }
}

/// The parts of a path, `..` taken by the letter, as Docker does.
fn normal(path: &[u8]) -> Result<Vec<Vec<u8>>> {
    let mut parts = Vec::new();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop().ok_or(Refused)?),
            part => parts.push(part.to_vec()),
        }
    }
    Ok(parts)
}
