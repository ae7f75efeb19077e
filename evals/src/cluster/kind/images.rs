//! Which images the registry serves, under which names and tags: real servers and the small services of ours,
//! all over the same layers, so that an image more costs two small files.

use super::oci::{Image, Layer};

/// Commits of Mycorrhizae, the oldest first, as CI tags its images; the third is the one that has to be rolled
/// back. The second is a number to a YAML reader, unless it is quoted.
const COMMITS: [&str; 4] = ["4be1c7d", "8214e42", "c03d5e8", "f27a90b"];
/// Mycorrhizae's parts: repository, what it runs, and what is wrong with the bad commit.
const MYCORRHIZA: [(&str, &str, &str); 3] = [
    ("mycorrhiza/frontend", "mycorrhiza-frontend", ""),
    ("mycorrhiza/backend-server", "mycorrhiza-backend-server", "crash"),
    ("mycorrhiza/backend-ingest", "mycorrhiza-backend-ingest", "unready"),
];
/// santaclaude's parts.
const SANTACLAUDE: [(&str, &str); 4] = [
    ("library/ai-service", "ai-service"),
    ("library/browser-pool-service", "browser-pool-service"),
    ("library/audit-sink-service", "audit-sink-service"),
    ("library/message-queue-service", "message-queue-service"),
];

/// A repository, its tags, and the image behind all of them.
pub type Tagged = (&'static str, Vec<&'static str>, Image);

/// Every image with its tags.
pub fn images(layers: &[Layer]) -> Vec<Tagged> {
    let own = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let image =
        |arguments: &[&str]| Image { layers: layers.to_vec(), arguments: own(arguments), ..Image::default() };
    let program = |words: &[&str]| Image { entrypoint: own(words), ..image(&[]) };
    let service = |name: &str, environment: &[&str]| Image {
        environment: own(environment),
        ..program(&["service", name])
    };
    let mut all = vec![
        (
            "library/nginx",
            vec!["latest", "1.25", "1.27", "1.27-alpine", "alpine"],
            image(&["nginx", "-g", "daemon off;"]),
        ),
        ("library/busybox", vec!["latest", "1.36"], image(&["sh"])),
        ("library/alpine", vec!["latest", "3.20"], image(&["sh"])),
        ("library/debian", vec!["latest", "bookworm", "bookworm-slim", "12"], image(&["bash"])),
        (
            "library/redis",
            vec!["latest", "7", "7-alpine"],
            Image { folder: "/data".to_owned(), ..image(&["redis-server"]) },
        ),
        ("library/python", vec!["3.12-slim", "3.12"], image(&["python3"])),
        ("curlimages/curl", vec!["latest"], program(&["curl"])),
        ("polinux/stress-ng", vec!["latest"], program(&["stress-ng"])),
        ("clickhouse/clickhouse-server", vec!["latest", "24.8"], service("clickhouse", &["VERSION=24.8"])),
        ("library/todo-backend", vec!["latest"], service("todo-backend", &[])),
        ("library/todo-frontend-web", vec!["latest", "v1"], service("todo-frontend-web", &["VERSION=v1"])),
        (
            "library/todo-frontend-chatbot",
            vec!["latest", "v1"],
            service("todo-frontend-chatbot", &["VERSION=v1"]),
        ),
    ];
    for version in ["v1", "v2"] {
        let said = format!("VERSION={version}");
        // These two need no database: they keep what they are told in memory.
        all.push((
            "library/todo-backend",
            vec![version],
            service("todo-backend", &[&said, "DATABASE_URL=memory:"]),
        ));
        let tags = if version == "v2" { vec![version] } else { vec![version, "latest"] };
        all.push(("library/todo-frontend", tags.clone(), service("todo-frontend", &[&said])));
        all.push(("library/todo-worker", tags, service("todo-worker", &[&said])));
    }
    for (repository, name) in SANTACLAUDE {
        all.push((repository, vec!["latest", "2.0.0"], service(name, &["VERSION=2.0.0"])));
    }
    for (at, commit) in COMMITS.iter().copied().enumerate() {
        for (repository, name, fault) in MYCORRHIZA {
            let version = format!("VERSION={commit}");
            let fault = format!("FAULT={}", if at == 2 { fault } else { "" });
            all.push((repository, vec![commit], service(name, &[&version, &fault])));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_name_leads_to_one_image() {
        let mut seen = BTreeSet::new();
        for (repository, tags, _) in images(&[]) {
            for tag in tags {
                assert!(seen.insert(format!("{repository}:{tag}")), "{repository}:{tag} is there twice");
            }
        }
        for wanted in
            ["library/todo-backend:latest", "mycorrhiza/backend-server:8214e42", "library/redis:7-alpine"]
        {
            assert!(seen.contains(wanted), "{wanted}");
        }
    }

    #[test]
    fn of_the_commits_only_the_third_is_bad() {
        let bad = |tag: &str| {
            let all = images(&[]);
            let of = all
                .into_iter()
                .filter(|(repository, tags, _)| repository.starts_with("mycorrhiza/") && tags == &[tag]);
            let faults = of.flat_map(|(.., image)| image.environment);
            faults.filter(|at| at.starts_with("FAULT=") && at != "FAULT=").count()
        };
        assert_eq!(COMMITS.map(bad), [0, 0, 2, 0]);
    }
}
