//! What stands in manifests: images, ports, quantities, percentages, variables, probes, storage, paths and hosts.

use serde_json::{Map, Value as Json, json};

use super::{Found, Reader, Value};

impl Reader<'_> {
    /// An image: anything with a tag, a digest or a path, or a plain name.
    pub fn image(&self, at: usize) -> Vec<Found> {
        let Some(token) = self.tokens.get(at) else { return Vec::new() };
        let fits = |c: char| c.is_ascii_alphanumeric() || "._-/:@".contains(c);
        let marked = token.raw.contains([':', '/', '@']);
        let known_word = !token.quoted && self.grammar.index.reserved.contains(&token.low);
        let edges = |c: char| c.is_ascii_alphanumeric();
        let good = token.raw.len() < 400
            && token.raw.starts_with(edges)
            && token.raw.ends_with(edges)
            && token.raw.chars().all(fits)
            && !token.raw.contains("://")
            && token.raw.chars().any(|c| c.is_ascii_alphabetic())
            && (marked || !known_word);
        if good { self.one(at, json!(token.raw)) } else { Vec::new() }
    }

    /// An image that says so by its tag, digest or path.
    pub fn marked_image(&self, at: usize) -> Vec<Found> {
        let is_kind = self.slashed(at, |_| true).is_some();
        let marked = self.tokens.get(at).is_some_and(|t| t.raw.contains([':', '@']));
        if is_kind || !marked { Vec::new() } else { self.image(at) }
    }

    /// An image without a tag, and the tag as a word of its own: `nginx 1.27`, `nginx version 1.27`.
    pub fn versioned_image(&self, at: usize) -> Vec<Found> {
        let bare = self.tokens.get(at).filter(|t| !t.raw.contains([':', '@']));
        let is_kind = self.slashed(at, |_| true).is_some();
        let Some(bare) = bare.filter(|_| !is_kind && !self.image(at).is_empty()) else { return Vec::new() };
        let tag_at = at + 1 + usize::from(self.is_unit(at + 1, &["version", "tag"]));
        let tags = self.tag(tag_at).into_iter();
        tags.filter_map(|(end, tag)| match tag {
            Value::Json(Json::String(tag)) => Some((end, Value::Json(json!(format!("{}:{tag}", bare.raw))))),
            _ => None,
        })
        .collect()
    }

    /// A tag alone: `1.28`, `v2`, `a1b2c3d`.
    pub fn tag(&self, at: usize) -> Vec<Found> {
        let Some(token) = self.tokens.get(at) else { return Vec::new() };
        let raw = token.raw.trim_start_matches(':');
        let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let digit = |c: char| c.is_ascii_digit();
        let version = raw.strip_prefix('v').unwrap_or(raw).starts_with(digit)
            && (raw.contains('.') || raw.starts_with('v'));
        let commit = raw.len() >= 7
            && raw.chars().all(|c| c.is_ascii_hexdigit())
            && raw.contains(digit)
            && !raw.chars().all(digit);
        let good = raw.len() <= 128 && raw.chars().all(fits) && (version || commit);
        if good { self.one(at, json!(raw)) } else { Vec::new() }
    }

    /// A port, from 1 to 65535.
    pub fn port(&self, at: usize) -> Vec<Found> {
        self.port_number(at).map(|found| self.one(at, found)).unwrap_or_default()
    }

    fn port_number(&self, at: usize) -> Option<Json> {
        let digits = self.word(at)?.trim_end_matches("/tcp");
        let number = digits.parse::<u16>().ok().filter(|p| *p > 0 && !digits.starts_with('+'))?;
        Some(json!(number))
    }

    /// Ports as a list: `3000`, `8000 and 9090`.
    pub fn ports(&self, at: usize) -> Vec<Found> {
        self.listed(at, |at| Some((at + 1, self.port_number(at)?)))
            .into_iter()
            .map(|(end, all)| (end, Value::Json(Json::Array(all))))
            .collect()
    }

    /// A CPU or memory quantity as Kubernetes writes it, or as people do: `250m`, `512Mi`, `512 MB`, `2 cores`, `half a core`.
    pub fn quantity(&self, at: usize) -> Vec<Found> {
        if self.word(at) == Some("half")
            && self.word(at + 1) == Some("a")
            && self.is_unit(at + 2, &["core", "cpu"])
        {
            return vec![(at + 3, Value::Json(json!("500m")))];
        }
        let Some(token) = self.tokens.get(at).filter(|t| !t.quoted) else { return Vec::new() };
        let split = token.raw.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(token.raw.len());
        let (digits, suffix) = token.raw.split_at(split);
        if digits.is_empty() || digits.parse::<f64>().is_err() {
            return Vec::new();
        }
        let unit = |word: &str| match word.to_lowercase().as_str() {
            "m" | "millicores" | "millicore" | "millicpu" => Some("m"),
            "ki" | "kib" => Some("Ki"),
            // People say MB and mean what Kubernetes calls Mi.
            "mi" | "mib" | "mb" | "megabytes" => Some("Mi"),
            "gi" | "gib" | "gb" | "gigs" | "gigabytes" | "g" => Some("Gi"),
            "ti" | "tib" | "tb" => Some("Ti"),
            "core" | "cores" | "cpu" | "cpus" | "vcpu" | "vcpus" => Some(""),
            _ => None,
        };
        let mut found = Vec::new();
        if suffix.is_empty() {
            if let Some(unit) = self.word(at + 1).and_then(unit) {
                found.push((at + 2, Value::Json(json!(format!("{digits}{unit}")))));
            }
            found.push((at + 1, Value::Json(json!(digits))));
        } else if suffix == "M" || suffix == "G" {
            found.push((at + 1, Value::Json(json!(token.raw))));
        } else if let Some(unit) = unit(suffix) {
            found.push((at + 1, Value::Json(json!(format!("{digits}{unit}")))));
        }
        found
    }

    fn is_unit(&self, at: usize, words: &[&str]) -> bool {
        self.word(at).is_some_and(|w| words.contains(&w))
    }

    /// A percentage from 1 to 100 as a whole number: `70%`, `70 percent`, `70`.
    pub fn percentage(&self, at: usize) -> Vec<Found> {
        let Some(word) = self.word(at) else { return Vec::new() };
        let number = |w: &str| w.parse::<u8>().ok().filter(|p| (1..=100).contains(p));
        if let Some(n) = word.strip_suffix('%').and_then(number) {
            return self.one(at, json!(n));
        }
        match (number(word), self.word(at + 1)) {
            (Some(n), Some("%" | "percent")) => vec![(at + 2, Value::Json(json!(n)))],
            (Some(n), _) => self.one(at, json!(n)),
            _ => Vec::new(),
        }
    }

    /// Variables or labels: `A=1`, `A=1, B=2 and C=3`.
    pub fn pairs(&self, at: usize) -> Vec<Found> {
        let pair = |at: usize| {
            let token = self.tokens.get(at)?;
            let (name, value) = token.raw.split_once('=')?;
            let fits = |c: char| c.is_ascii_alphanumeric() || "_.-/".contains(c);
            let good = !name.is_empty()
                && name.chars().all(fits)
                && !name.starts_with('-')
                && !value.starts_with('=');
            let cut = value.trim_matches(['"', '\'']);
            good.then(|| (at + 1, json!([name, cut])))
        };
        self.listed(at, pair)
            .into_iter()
            .map(|(end, all)| {
                let map: Map<String, Json> =
                    all.iter().filter_map(|p| Some((p[0].as_str()?.to_string(), p[1].clone()))).collect();
                (end, Value::Json(Json::Object(map)))
            })
            .collect()
    }

    /// Items joined by a comma, an "and", or both; every length.
    fn listed(&self, at: usize, item: impl Fn(usize) -> Option<(usize, Json)>) -> Vec<(usize, Vec<Json>)> {
        let Some((mut end, first)) = item(at) else { return Vec::new() };
        let mut all = vec![first];
        let mut found = vec![(end, all.clone())];
        while let Some((next, more)) = self.joined(end).and_then(&item) {
            all.push(more);
            end = next;
            found.push((end, all.clone()));
            if all.len() >= 20 {
                break;
            }
        }
        found
    }

    /// A name behind a kind, as `secret/app` in a list.
    pub fn reference(&self, at: usize, kind: &str) -> Vec<Found> {
        match self.name(at) {
            Some(name) => self.one(at, json!([format!("{kind}/{name}")])),
            None => Vec::new(),
        }
    }

    /// A probe: `/ready`, `http:/ready:8000`, `tcp:5432`.
    pub fn probe(&self, at: usize) -> Vec<Found> {
        let Some(token) = self.tokens.get(at) else { return Vec::new() };
        let short = ["http:/", "https:/", "tcp:", "exec:"].iter().any(|p| token.raw.starts_with(p));
        match token.raw.as_str() {
            raw if raw.starts_with('/') => self.one(at, json!(format!("http:{raw}"))),
            raw if short && !raw.contains("://") => self.one(at, json!(raw)),
            _ => Vec::new(),
        }
    }

    /// Storage and where it is mounted: `5Gi at /data`, `5Gi of storage at /data`.
    pub fn storage(&self, at: usize) -> Vec<Found> {
        let mut found = Vec::new();
        for (mut end, size) in self.quantity(at) {
            let Value::Json(Json::String(size)) = size else { continue };
            if size.bytes().all(|b| b.is_ascii_digit()) || size.ends_with('m') {
                continue;
            }
            for filler in [&["of"][..], &["storage", "disk", "volume", "space"], &["mounted"]] {
                end += usize::from(self.is_unit(end, filler));
            }
            if !self.is_unit(end, &["at", "on", "under", "in"]) {
                continue;
            }
            if let Some(path) = self.tokens.get(end + 1).filter(|t| t.raw.starts_with('/') && t.raw.len() > 1)
            {
                found.push((end + 2, Value::Json(json!([format!("{}={size}", path.raw)]))));
            }
        }
        found
    }

    /// A path of a URL: `/api`.
    pub fn url_path(&self, at: usize) -> Vec<Found> {
        let fits = |c: char| c.is_ascii_alphanumeric() || "/-_.~".contains(c);
        match self.tokens.get(at).map(|t| t.raw.as_str()) {
            Some(raw) if raw.starts_with('/') && raw.chars().all(fits) => self.one(at, json!(raw)),
            _ => Vec::new(),
        }
    }

    /// A host name with a dot in it: `shop.example.com`, `*.example.com`.
    pub fn host(&self, at: usize) -> Vec<Found> {
        let Some(word) = self.word(at) else { return Vec::new() };
        let bare = word.strip_prefix("*.").unwrap_or(word);
        let fits = |p: &str| {
            !p.is_empty() && p.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        let good =
            bare.contains('.') && bare.split('.').all(fits) && bare.bytes().any(|b| b.is_ascii_lowercase());
        if good { self.one(at, json!(word)) } else { Vec::new() }
    }

    /// A file or a folder: something with a slash, a file name of YAML or JSON, or anything in quotes.
    pub fn file(&self, at: usize) -> Vec<Found> {
        let Some(token) = self.tokens.get(at) else { return Vec::new() };
        let raw = token.raw.as_str();
        let fits = |c: char| c.is_ascii_alphanumeric() || "/-_.~+".contains(c);
        let named = [".yaml", ".yml", ".json", ".tgz"].iter().any(|e| raw.ends_with(e));
        let shaped = raw.contains('/') || named || matches!(raw, "." | "..");
        let is_object = self.slashed(at, |_| true).is_some();
        if (token.quoted && !raw.is_empty()) || (shaped && raw.chars().all(fits) && !is_object) {
            self.one(at, json!(raw))
        } else {
            Vec::new()
        }
    }

    /// Names of variables as a list, as written.
    pub fn names(&self, at: usize) -> Vec<Found> {
        let item = |at: usize| {
            let raw = &self.tokens.get(at)?.raw;
            let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
            (raw.chars().all(fits) && raw.starts_with(|c: char| c.is_ascii_uppercase() || c == '_'))
                .then(|| (at + 1, json!(raw)))
        };
        self.listed(at, item).into_iter().map(|(end, all)| (end, Value::Json(json!(all)))).collect()
    }

    /// Namespaces as a list.
    pub fn namespaces(&self, at: usize) -> Vec<Found> {
        let item = |at: usize| self.name(at).filter(|n| !n.contains('.')).map(|n| (at + 1, json!(n)));
        self.listed(at, item).into_iter().map(|(end, all)| (end, Value::Json(json!(all)))).collect()
    }

    /// A Service by name, with or without its port: `backend`, `backend:8000`.
    pub fn service_port(&self, at: usize) -> Vec<Found> {
        let Some(word) = self.word(at) else { return Vec::new() };
        let Some((name, port)) = word.split_once(':') else {
            return self.name(at).map(|n| self.one(at, json!(n))).unwrap_or_default();
        };
        let named = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !name.is_empty();
        if named && port.parse::<u16>().is_ok_and(|p| p > 0) { self.one(at, json!(word)) } else { Vec::new() }
    }

    /// The name of a cookie or a header.
    pub fn label(&self, at: usize) -> Vec<Found> {
        let Some(token) = self.tokens.get(at) else { return Vec::new() };
        let fits = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
        let known = !token.quoted && self.grammar.index.reserved.contains(&token.low);
        if !token.raw.is_empty() && token.raw.chars().all(fits) && !known {
            self.one(at, json!(token.raw))
        } else {
            Vec::new()
        }
    }

    /// A kind, or a field of one by its dotted path.
    pub fn field(&self, at: usize) -> Vec<Found> {
        let Some(token) = self.tokens.get(at).filter(|t| !t.quoted) else { return Vec::new() };
        let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if let Some((kind, _)) = token.low.split_once('.')
            && self.grammar.index.kind_words.contains_key(kind)
            && token.raw.chars().all(fits)
        {
            return self.one(at, json!(token.raw));
        }
        self.kind(at).map(|(end, kind)| (end, Value::Json(json!(kind)))).collect()
    }

    /// A verb of the API.
    pub fn verb(&self, at: usize) -> Vec<Found> {
        const VERBS: [&str; 9] = [
            "get",
            "list",
            "watch",
            "create",
            "update",
            "patch",
            "delete",
            "deletecollection",
            "impersonate",
        ];
        match self.word(at) {
            Some(verb) if VERBS.contains(&verb) => self.one(at, json!(verb)),
            Some("read" | "see" | "view") => self.one(at, json!("get")),
            Some("change" | "edit") => self.one(at, json!("update")),
            _ => Vec::new(),
        }
    }

    /// A service account.
    pub fn account(&self, at: usize) -> Vec<Found> {
        self.name(at).map(|n| self.one(at, json!(format!("serviceaccount/{n}")))).unwrap_or_default()
    }

    fn one(&self, at: usize, value: Json) -> Vec<Found> {
        vec![(at + 1, Value::Json(value))]
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::super::Core;
    use super::super::super::tokens::tokens;
    use super::super::{Slot, Value, recognise};

    /// The longest reading of a text as a slot of that type, when it takes the whole text.
    fn read(slot: &str, text: &str) -> Option<serde_json::Value> {
        let core = Core::get().unwrap();
        let tokens = tokens(text);
        recognise(Slot::named(slot).unwrap(), &tokens, 0, &core.grammar)
            .into_iter()
            .filter(|(end, _)| *end == tokens.len())
            .find_map(|(_, v)| if let Value::Json(v) = v { Some(v) } else { None })
    }

    #[test]
    fn values_are_read_as_kubernetes_writes_them() {
        for (slot, text, want) in [
            ("image", "todo-frontend:latest", json!("todo-frontend:latest")),
            ("image", "registry.example:5000/a/b@sha256:abc", json!("registry.example:5000/a/b@sha256:abc")),
            ("ports", "8000 and 9090", json!([8000, 9090])),
            ("quantity", "512 MB", json!("512Mi")),
            ("quantity", "250m", json!("250m")),
            ("quantity", "2 cores", json!("2")),
            ("quantity", "half a core", json!("500m")),
            ("percentage", "70%", json!(70)),
            ("percentage", "70 percent", json!(70)),
            ("pairs", "A=1, B=x=y and C=", json!({"A": "1", "B": "x=y", "C": ""})),
            ("probe", "/ready", json!("http:/ready")),
            ("storage", "5Gi of storage at /data", json!(["/data=5Gi"])),
            ("host", "shop.example.com", json!("shop.example.com")),
            ("file", "k8s/", json!("k8s/")),
            ("file", "app.yaml", json!("app.yaml")),
            ("tag", "1.28", json!("1.28")),
            ("versioned_image", "nginx 1.27", json!("nginx:1.27")),
            ("versioned_image", "ghcr.io/shop/api version v2", json!("ghcr.io/shop/api:v2")),
        ] {
            assert_eq!(read(slot, text), Some(want), "{slot}: {text}");
        }
        for (slot, text) in [
            ("image", "https://x/y"),
            ("port", "70000"),
            ("quantity", "lots"),
            ("percentage", "170%"),
            ("host", "backend"),
            ("host", "1.2.3.4"),
            ("file", "deployment/web"),
            ("file", "backend"),
            ("tag", "new"),
            ("versioned_image", "nginx"),
            ("versioned_image", "nginx 3"),
            ("versioned_image", "nginx:1.26 1.27"),
            ("pairs", "--replicas=3x"),
        ] {
            assert_eq!(read(slot, text), None, "{slot}: {text}");
        }
    }
}
