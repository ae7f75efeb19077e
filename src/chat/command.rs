//! The chat's own commands, as data.

/// A command that begins with a slash.
pub struct Command {
    pub name: &'static str,
    /// What may follow it; empty when nothing may.
    pub takes: &'static str,
    pub help: &'static str,
}

const fn command(name: &'static str, takes: &'static str, help: &'static str) -> Command {
    Command { name, takes, help }
}

/// All of them, as `/help` lists them.
pub const COMMANDS: &[Command] = &[
    command("help", "", "this list"),
    command("context", "[name]", "show the contexts, or go to another"),
    command("namespace", "[name]", "show the namespace, or go to another"),
    command("diagnose", "[what]", "what is broken and why: everywhere, in a namespace, of an object"),
    command("cost", "[what]", "what things cost a month: here, the cluster, a namespace, a workload"),
    command("undo", "[id]", "take back the last change, or the plan with that id"),
    command("log", "", "what kai changed"),
    command("tools", "", "what kai can do"),
    command("model", "[name]", "show what answers, or choose another"),
    command("tokens", "", "the tokens used in this chat"),
    command("clear", "", "forget the conversation"),
    command("quit", "", "leave (also Ctrl-D)"),
];

/// A line that was typed: words for the model, or a command with what follows it.
#[derive(Debug, PartialEq)]
pub enum Line<'a> {
    Empty,
    Words(&'a str),
    Command {
        name: &'static str,
        rest: Option<&'a str>,
    },
    /// Why it is no command.
    Wrong(String),
}

/// Reads a line.
pub fn read(line: &str) -> Line<'_> {
    let line = line.trim();
    let Some(said) = line.strip_prefix('/') else {
        return if line.is_empty() { Line::Empty } else { Line::Words(line) };
    };
    let (name, rest) = said.split_once(char::is_whitespace).unwrap_or((said, ""));
    let rest = Some(rest.trim()).filter(|r| !r.is_empty());
    let name = if name == "exit" { "quit" } else { name };
    match COMMANDS.iter().find(|c| c.name == name) {
        Some(command) if command.takes.is_empty() && rest.is_some() => {
            Line::Wrong(format!("/{} takes nothing", command.name))
        }
        Some(_) if rest.is_some_and(|r| r.contains(char::is_whitespace)) => {
            Line::Wrong(format!("/{name} takes one name"))
        }
        Some(command) => Line::Command { name: command.name, rest },
        None => {
            let near = COMMANDS.iter().max_by(|a, b| {
                let like = |c: &Command| strsim::jaro_winkler(name, c.name);
                like(a).total_cmp(&like(b))
            });
            let near = near.filter(|c| strsim::jaro_winkler(name, c.name) > 0.7);
            let shown = kai_tools::sanitize::line(name);
            let hint = near.map_or("/help lists them".to_string(), |c| format!("did you mean /{}?", c.name));
            Line::Wrong(format!("there is no command /{shown}; {hint}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        assert_eq!(read("  "), Line::Empty);
        assert_eq!(read(" scale backend to 3 "), Line::Words("scale backend to 3"));
        assert_eq!(read("/undo 12ab"), Line::Command { name: "undo", rest: Some("12ab") });
        assert_eq!(read("/exit"), Line::Command { name: "quit", rest: None });
        let wrong = |line| if let Line::Wrong(why) = read(line) { why } else { panic!("{line} was taken") };
        assert!(wrong("/namspace todo").contains("did you mean /namespace?"));
        assert!(wrong("/x\u{1b}[31m").contains("/help lists them"));
        assert!(!wrong("/x\u{1b}[31m").contains('\u{1b}'));
        assert!(wrong("/quit now").contains("takes nothing"));
        assert!(wrong("/namespace a b").contains("one name"));
    }
}
