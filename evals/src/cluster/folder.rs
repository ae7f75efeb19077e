//! Where things live: builds under the user's cache, clusters under the user's state.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

/// The longest cluster name: it becomes part of node names and container names.
const LONGEST_NAME: usize = 40;

/// `${XDG_CACHE_HOME:-~/.cache}/kai`: what can be built again.
pub fn cache() -> PathBuf {
    base("XDG_CACHE_HOME", ".cache").join("kai")
}

/// `${XDG_STATE_HOME:-~/.local/state}/kai-evals/clusters`: one folder a cluster.
pub fn clusters() -> PathBuf {
    base("XDG_STATE_HOME", ".local/state").join("kai-evals").join("clusters")
}

/// The state folder of one cluster.
///
/// # Errors
/// The name is not a DNS label of at most 40 characters; it becomes part of node names, and of this
/// path.
pub fn of(name: &str) -> Result<PathBuf> {
    let label = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty()
        || name.len() > LONGEST_NAME
        || !name.chars().all(label)
        || name.starts_with('-')
        || name.ends_with('-')
    {
        bail!(
            "{name:?} cannot name a cluster: use up to {LONGEST_NAME} lower-case letters, digits and dashes, without a dash at either end"
        );
    }
    Ok(clusters().join(name))
}

fn base(variable: &str, under_home: &str) -> PathBuf {
    choose(std::env::var_os(variable).map(PathBuf::from), std::env::home_dir(), under_home)
}

/// The folder that the variable names, unless it is relative, which the XDG rules say to ignore.
fn choose(named: Option<PathBuf>, home: Option<PathBuf>, under_home: &str) -> PathBuf {
    match named {
        Some(path) if path.is_absolute() => path,
        _ => home.as_deref().unwrap_or(Path::new("/tmp")).join(under_home),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_could_leave_its_folder_is_refused() {
        for name in ["", "..", "a/b", "A", "-a", "a-", "a.b", &"a".repeat(41)] {
            assert!(of(name).is_err(), "{name:?} was accepted");
        }
        assert!(of("kai-test-1").is_ok_and(|path| path.ends_with("kai-evals/clusters/kai-test-1")));
    }

    #[test]
    fn a_relative_xdg_folder_is_ignored() {
        let home = Some(PathBuf::from("/home/u"));
        assert_eq!(choose(Some("/x".into()), home.clone(), ".cache"), PathBuf::from("/x"));
        assert_eq!(choose(Some("x".into()), home.clone(), ".cache"), PathBuf::from("/home/u/.cache"));
        assert_eq!(choose(None, home, ".cache"), PathBuf::from("/home/u/.cache"));
    }
}
