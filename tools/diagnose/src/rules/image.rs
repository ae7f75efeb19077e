//! Names of images, taken apart.

/// An image as it is named: `registry.example.com/team/web:1.2@sha256:...`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image<'a> {
    /// Where it is pulled from; `docker.io` where the name says nothing.
    pub host: &'a str,
    /// Without host, tag and digest.
    pub repository: &'a str,
    pub tag: Option<&'a str>,
    pub digest: Option<&'a str>,
}

impl<'a> Image<'a> {
    /// The tag or digest; `latest` where the name says neither.
    pub fn version(&self) -> &'a str {
        self.tag.or(self.digest).unwrap_or("latest")
    }
}

/// Takes a name apart. Nothing is refused: a bad name gives bad parts.
pub fn parse(name: &str) -> Image<'_> {
    let (name, digest) = name.split_once('@').map_or((name, None), |(n, d)| (n, Some(d)));
    let (host, rest) = match name.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (first, rest),
        _ => ("docker.io", name),
    };
    let (repository, tag) = rest.rsplit_once(':').map_or((rest, None), |(r, t)| (r, Some(t)));
    Image { host, repository: repository.strip_prefix("library/").unwrap_or(repository), tag, digest }
}

/// Whether two names are of the same image in perhaps different versions.
pub fn same_repository(a: &str, b: &str) -> bool {
    let (a, b) = (parse(a), parse(b));
    a.host == b.host && a.repository == b.repository
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_names() {
        let all = |n| {
            let i = parse(n);
            (i.host, i.repository, i.tag)
        };
        assert_eq!(all("nginx"), ("docker.io", "nginx", None));
        assert_eq!(all("library/nginx:1.27"), ("docker.io", "nginx", Some("1.27")));
        assert_eq!(all("localhost:5000/a/b:c"), ("localhost:5000", "a/b", Some("c")));
        assert_eq!(all("ghcr.io/a/b@sha256:12"), ("ghcr.io", "a/b", None));
        assert!(same_repository("nginx:1", "library/nginx:2"));
    }
}
