//! Documents that are made by the program are what the program makes.

use std::process::Command;

#[test]
fn the_reference_of_the_tools_is_current() {
    let kai =
        Command::new(env!("CARGO_BIN_EXE_kai")).args(["call", "--list", "-o", "markdown"]).output().unwrap();
    let made = String::from_utf8(kai.stdout).unwrap();
    let kept = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/tools.md")).unwrap();
    assert_eq!(kept, made, "run: kai call --list -o markdown > docs/tools.md");
}

#[test]
fn the_catalogue_of_causes_is_current() {
    let kai = Command::new(env!("CARGO_BIN_EXE_kai"))
        .args(["diagnose", "--list", "-o", "markdown"])
        .output()
        .unwrap();
    let made = String::from_utf8(kai.stdout).unwrap();
    let kept = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/diagnose.md")).unwrap();
    assert!(made.lines().count() >= 110, "{made}");
    assert!(kept.ends_with(&made), "the table of docs/diagnose.md is: kai diagnose --list -o markdown");
}
