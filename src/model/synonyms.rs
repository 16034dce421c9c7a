//! What other tools and languages call the things that have another name here.

/// Words of Docker, docker-py, Podman and other languages, each with the names that may be meant, the likeliest first.
#[rustfmt::skip]
const SYNONYMS: &[(&str, &[&str])] = &[
    // Facts.
    ("state", &["status"]),
    ("up", &["running"]),
    ("is_running", &["running"]),
    ("names", &["tags", "name"]),
    ("repo_tags", &["tags"]),
    ("repository", &["tags", "reference", "name"]),
    ("repo", &["tags", "reference", "name"]),
    ("tag", &["tags"]),
    ("repo_digests", &["digest"]),
    ("sha", &["digest", "id"]),
    ("uuid", &["id"]),
    ("virtual_size", &["size"]),
    ("bytes", &["size"]),
    ("image_name", &["image"]),
    ("command", &["cmd"]),
    ("args", &["cmd"]),
    ("path", &["cmd"]),
    ("created_at", &["created"]),
    ("started_at", &["started"]),
    ("finished_at", &["finished"]),
    ("ended", &["finished"]),
    ("restarts", &["restart_count"]),
    ("exit_status", &["exit_code", "code"]),
    ("status_code", &["code", "exit_code", "status"]),
    ("returncode", &["code", "exit_code"]),
    ("exitcode", &["exit_code", "code"]),
    ("exit_code", &["code"]),
    ("output", &["stdout"]),
    ("ip_address", &["ip"]),
    ("ipaddress", &["ip"]),
    ("address", &["ip", "addr"]),
    ("network_settings", &["networks"]),
    ("healthy", &["health"]),
    ("arch", &["architecture"]),
    ("mountpoint", &["path"]),
    ("containers", &["used_by"]),
    ("users", &["used_by"]),
    ("attrs", &["inspect"]),
    // Options.
    ("environment", &["env"]),
    ("envs", &["env"]),
    ("env_vars", &["env"]),
    ("working_dir", &["workdir"]),
    ("cwd", &["workdir"]),
    ("mem", &["memory"]),
    ("mem_limit", &["memory"]),
    ("memswap_limit", &["memory_swap"]),
    ("nano_cpus", &["cpus"]),
    ("volume", &["volumes"]),
    ("volumes", &["mounts"]),
    ("bind", &["volumes"]),
    ("binds", &["volumes"]),
    ("publish", &["ports"]),
    ("port_bindings", &["ports"]),
    ("expose", &["exposed_ports", "ports"]),
    ("restart_policy", &["inspect", "restart"]),
    ("cmd", &["changes"]),
    ("entrypoint", &["changes"]),
    ("healthcheck", &["health"]),
    ("network_mode", &["network"]),
    ("net", &["network"]),
    ("add_host", &["add_hosts"]),
    ("extra_hosts", &["add_hosts"]),
    ("until", &["older_than"]),
    ("before", &["older_than"]),
    ("since", &["newer_than"]),
    ("changes", &["change"]),
    // Acts.
    ("ls", &["list"]),
    ("ps", &["list"]),
    ("all", &["list"]),
    ("rm", &["remove"]),
    ("rmi", &["remove"]),
    ("delete", &["remove", "rm"]),
    ("destroy", &["remove", "rm"]),
    ("erase", &["remove"]),
    ("del", &["remove"]),
    ("show", &["inspect", "get"]),
    ("info", &["inspect"]),
    ("describe", &["inspect"]),
    ("execute", &["exec"]),
    ("exec_run", &["exec"]),
    ("cp", &["copy_out", "copy", "copy_in"]),
    ("copy", &["copy_out"]),
    ("put_archive", &["copy_in"]),
    ("get_archive", &["copy_out"]),
    ("upload", &["copy_in"]),
    ("download", &["copy_out", "get"]),
    ("log", &["logs"]),
    ("tail", &["logs"]),
    ("backup", &["save"]),
    ("restore", &["load"]),
    ("rename", &["tag"]),
    ("layers", &["history"]),
    ("compare", &["diff"]),
    ("resume", &["unpause"]),
    ("suspend", &["pause"]),
    ("terminate", &["stop"]),
    ("start_detached", &["run_detached"]),
    ("retag", &["tag"]),
    ("rmtag", &["untag", "delete_tag"]),
    ("import_fs", &["import_tar"]),
    ("export_fs", &["export_tar"]),
    ("catalog", &["repos"]),
    ("sync_repo", &["mirror"]),
    ("cleanup", &["prune"]),
    ("clean", &["prune"]),
    ("gc", &["prune"]),
    ("df_v", &["df"]),
    // The language.
    ("length", &["len", "size"]),
    ("count", &["len"]),
    ("size", &["len"]),
    ("append", &["push"]),
    ("add", &["push"]),
    ("each", &["for_each"]),
    ("includes", &["contains"]),
    ("has", &["contains"]),
    ("lower", &["to_lower"]),
    ("lowercase", &["to_lower"]),
    ("upper", &["to_upper"]),
    ("uppercase", &["to_upper"]),
    ("strip", &["trimmed"]),
    ("str", &["to_string"]),
    ("int", &["parse_int"]),
    ("float", &["parse_float"]),
    ("println", &["print"]),
    ("echo", &["print"]),
    ("puts", &["print"]),
    ("read_text", &["read"]),
    ("read_file", &["read"]),
    ("write_text", &["write"]),
    ("write_file", &["write"]),
    ("mkdirs", &["mkdir"]),
    ("makedirs", &["mkdir"]),
    ("unlink", &["remove"]),
    ("dumps", &["stringify", "format"]),
    ("loads", &["parse"]),
    ("load", &["parse"]),
    ("dump", &["stringify", "format"]),
];

/// What is done in another way here than by a word of its own.
const OTHERWISE: &[(&str, &str)] = &[
    ("detach", "`container::run_detached` leaves it running"),
    ("detached", "`container::run_detached` leaves it running"),
    (
        "dry_run",
        "`hoist --dry-run …` changes nothing; at the prompt, `:plan on`",
    ),
    (
        "filter",
        "each condition is a key of its own, such as `label` or `older_than`",
    ),
    (
        "filters",
        "each condition is a key of its own, such as `label` or `older_than`",
    ),
    ("interactive", "`hoist exec -it NAME COMMAND` talks with a program"),
    (
        "ports",
        "no ports are published: `network: \"host\"` shares those of this machine",
    ),
];

/// What there is to say of a word that nothing is called by here.
pub(super) fn otherwise(name: &str) -> Option<&'static str> {
    let plain = plain(name);
    OTHERWISE.iter().find(|row| row.0 == plain).map(|row| row.1)
}

/// The one of some names that is called so elsewhere: `State` is `status`, `RepoTags` is `tags`.
pub fn known_as<'a>(name: &str, candidates: &[&'a str]) -> Option<&'a str> {
    let plain = plain(name);
    let find = |wanted: &str| candidates.iter().copied().find(|candidate| *candidate == wanted);
    let other_spelling = find(&plain).filter(|found| *found != name);
    other_spelling.or_else(|| {
        let mut rows = SYNONYMS.iter().filter(|row| row.0 == plain);
        rows.find_map(|row| row.1.iter().find_map(|wanted| find(wanted)))
    })
}

/// `RepoTags`, `repoTags` and `repo-tags` as `repo_tags`; `ID` as `id`.
fn plain(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    let mut plain = String::with_capacity(name.len() + 4);
    for (at, letter) in letters.iter().enumerate() {
        let follows_small = at > 0 && (letters[at - 1].is_lowercase() || letters[at - 1].is_ascii_digit());
        let begins_word = at > 0 && letters.get(at + 1).is_some_and(|next| next.is_lowercase());
        if letter.is_uppercase() && (follows_small || begins_word) && !plain.ends_with('_') {
            plain.push('_');
        }
        match letter {
            '-' => plain.push('_'),
            letter => plain.extend(letter.to_lowercase()),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_other_tools_lead_to_those_of_ours() {
        let container = [
            "created",
            "exit_code",
            "id",
            "image",
            "ip",
            "name",
            "remove",
            "running",
            "stats",
            "status",
        ];
        for (name, meant) in [
            ("State", "status"),
            ("state", "status"),
            ("Id", "id"),
            ("ID", "id"),
            ("Names", "name"),
            ("IPAddress", "ip"),
            ("ExitCode", "exit_code"),
            ("exitCode", "exit_code"),
            ("CreatedAt", "created"),
            ("delete", "remove"),
        ] {
            assert_eq!(known_as(name, &container), Some(meant), "{name}");
        }
        assert_eq!(known_as("RepoTags", &["tags", "name"]), Some("tags"));
        assert_eq!(known_as("mem_limit", &["memory", "memory_swap"]), Some("memory"));
        assert_eq!(known_as("status", &container), None);
        assert_eq!(known_as("nothing", &container), None);
        assert!(otherwise("Detach").unwrap().contains("run_detached"));
    }

    #[test]
    fn each_word_has_one_row_and_is_written_plainly() {
        let words = SYNONYMS.iter().map(|row| row.0);
        let words: Vec<&str> = words.chain(OTHERWISE.iter().map(|row| row.0)).collect();
        for (at, word) in words.iter().enumerate() {
            assert!(!words[..at].contains(word), "`{word}` is there twice");
            assert_eq!(plain(word), *word);
        }
    }
}
