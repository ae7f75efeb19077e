//! Reads what `get` shows: tables as the API server prints them, or whole objects, page by page and bounded.

use futures::stream::{self, StreamExt};
use serde_json::Value;

use super::rows::{Row, projected_row, rows_of};
use super::selector::Selector;
use super::{Get, Only, Output, images, must_exist, state};
use crate::cluster::Cluster;
use crate::cluster::read::{Listed, Listing, encode};
use crate::cluster::resolve::nearest;
use crate::error::ToolError;
use crate::object::{ApiKind, is_object_name, items, text};
use crate::redact;
use crate::sanitize;

/// Server-side tables, with the plain list for servers that do not print.
const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
/// Most objects that are looked through for those that are not ready, or for their images.
const MOST_SEEN: usize = 20_000;
const PAGE: usize = 500;
/// Objects that are read side by side.
const SIDE_BY_SIDE: usize = 8;

/// What was found of one kind.
pub(super) struct Found {
    pub kind: ApiKind,
    pub what: What,
    /// How many there are in all, when that is known.
    pub total: Option<usize>,
    /// Whether every object was looked at.
    pub complete: bool,
    /// Where to go on.
    pub next: Option<String>,
}

/// The shapes of what was found.
pub(super) enum What {
    Rows { columns: Vec<String>, rows: Vec<Row> },
    Objects(Vec<Value>),
    Images(images::Images),
}

impl Found {
    pub fn is_empty(&self) -> bool {
        match &self.what {
            What::Rows { rows, .. } => rows.is_empty(),
            What::Objects(objects) => objects.is_empty(),
            What::Images(images) => images.is_empty(),
        }
    }
}

/// One call of `get`, on its way.
pub(super) struct Fetch<'a> {
    pub cluster: &'a Cluster,
    pub query: &'a Get,
    pub chosen: Selector,
    /// `None`: every namespace.
    pub namespace: Option<&'a str>,
    pub now: jiff::Timestamp,
}

impl Fetch<'_> {
    /// Everything that was asked for of one kind.
    pub async fn kind(&self, kind: &ApiKind) -> Result<Found, ToolError> {
        if let Some(name) = self.query.name.as_deref().filter(|n| !is_object_name(n)) {
            let shown = sanitize::line(name);
            return Err(ToolError::Invalid(format!("`{shown}` cannot be the name of a {}", kind.singular)));
        }
        let found = match self.query.output.unwrap_or_default() {
            Output::Images => self.images(kind).await,
            Output::Yaml => self.objects(kind).await,
            Output::Table if self.fields().is_empty() => self.table(kind).await,
            Output::Table => self.projected(kind).await,
        };
        match (found, self.query.name.as_deref()) {
            (Ok(found), Some(name)) if found.is_empty() && self.query.only.is_none() => {
                Err(self.no_such(kind, name).await)
            }
            (Err(ToolError::NotFound { .. }), Some(name)) => Err(self.no_such(kind, name).await),
            (Err(ToolError::Api { status: 410, .. }), _) => {
                Err(ToolError::Invalid("this page handle is too old: ask again without `page`".into()))
            }
            (Err(ToolError::Api { status: 400, message }), _) if self.query.page.is_some() => {
                Err(ToolError::Invalid(format!("this page handle is not one of this list: {message}")))
            }
            (found, _) => found,
        }
    }

    fn fields(&self) -> &[String] {
        self.query.fields.as_deref().unwrap_or(&[])
    }

    async fn table(&self, kind: &ApiKind) -> Result<Found, ToolError> {
        let mut rows = Vec::new();
        let (mut seen, mut kept) = (0, 0);
        let limit = self.query.limit();
        let only = self.query.only == Some(Only::NotReady);
        let mut next = self.query.page.clone();
        loop {
            let page = if only { PAGE } else { limit };
            let mut path = format!("{}?limit={page}", kind.collection(self.namespace));
            for (key, value) in [
                ("labelSelector", &self.chosen.labels),
                ("fieldSelector", &self.chosen.fields),
                ("continue", &next),
            ] {
                if let Some(value) = value {
                    path.push_str(&format!("&{key}={}", encode(value)));
                }
            }
            let answer = self.cluster.get_as(&path, TABLE).await?;
            let (columns, found) = rows_of(&answer, self.now);
            seen += found.len();
            next = Some(text(&answer, "/metadata/continue").to_string()).filter(|c| !c.is_empty());
            for row in found {
                if only && state::of(&kind.singular, &columns, &row).is_none_or(|s| s.good) {
                    continue;
                }
                kept += 1;
                if rows.len() < limit {
                    rows.push(row);
                }
            }
            if only && next.is_some() && seen < MOST_SEEN {
                continue;
            }
            let remaining = answer.pointer("/metadata/remainingItemCount").and_then(Value::as_u64);
            let complete = next.is_none();
            let total = match (only, &next, remaining) {
                (true, ..) => Some(kept),
                (_, None, _) => Some(seen),
                (.., Some(remaining)) => Some(seen + remaining as usize),
                // With a selector the API server does not say how many are left.
                (_, Some(next), None) if self.query.page.is_none() => {
                    self.rest(kind, next).await?.map(|r| seen + r)
                }
                _ => None,
            };
            let next = next.filter(|_| !only);
            // On a later page the total is not what was seen here and what is left.
            let total = total.filter(|_| self.query.page.is_none());
            return Ok(Found {
                kind: kind.clone(),
                what: What::Rows { columns, rows },
                total,
                complete,
                next,
            });
        }
    }

    /// How many rows come after a page, counted; `None` when there are more than are worth counting.
    async fn rest(&self, kind: &ApiKind, next: &str) -> Result<Option<usize>, ToolError> {
        let mut next = next.to_string();
        let mut count = 0;
        while count < MOST_SEEN {
            let mut path = format!(
                "{}?limit={PAGE}&includeObject=None&continue={}",
                kind.collection(self.namespace),
                encode(&next)
            );
            for (key, value) in
                [("labelSelector", &self.chosen.labels), ("fieldSelector", &self.chosen.fields)]
            {
                if let Some(value) = value {
                    path.push_str(&format!("&{key}={}", encode(value)));
                }
            }
            let answer = self.cluster.get_as(&path, TABLE).await?;
            count += items(&answer, "/rows").len() + items(&answer, "/items").len();
            next = text(&answer, "/metadata/continue").to_string();
            if next.is_empty() {
                return Ok(Some(count));
            }
        }
        Ok(None)
    }

    async fn list(
        &self,
        kind: &ApiKind,
        limit: usize,
        keep: Option<fn(&Value) -> Value>,
    ) -> Result<Listed, ToolError> {
        let what = Listing {
            labels: self.chosen.labels.clone(),
            fields: self.chosen.fields.clone(),
            limit: Some(limit),
            page: self.query.page.clone(),
            keep,
        };
        let mut listed = self.cluster.list(kind, self.namespace, &what).await?;
        // Items of a list do not say their kind, and redaction looks at it.
        let version = match kind.group.as_str() {
            "" => kind.version.clone(),
            group => format!("{group}/{}", kind.version),
        };
        for item in listed.items.iter_mut().filter_map(Value::as_object_mut) {
            item.shift_insert(0, "kind".into(), kind.kind.clone().into());
            item.shift_insert(0, "apiVersion".into(), version.clone().into());
        }
        Ok(listed)
    }

    /// Whole objects, as asked for. Which are not ready is told by their rows; those are then read one by one.
    async fn whole(&self, kind: &ApiKind) -> Result<Listed, ToolError> {
        if self.query.only.is_none() {
            return self.list(kind, self.query.limit(), None).await;
        }
        let found = self.table(kind).await?;
        let What::Rows { rows, .. } = &found.what else { return Ok(Listed::default()) };
        let mut reads = Vec::new();
        for row in rows {
            reads.push(self.cluster.find(kind, &row.namespace, &row.name));
        }
        let read: Vec<_> = stream::iter(reads).buffered(SIDE_BY_SIDE).collect().await;
        let read = read.into_iter().collect::<Result<Vec<_>, _>>()?;
        let left = found.total.map(|t| t.saturating_sub(rows.len()) as i64);
        // A page handle that is not there: what is not ready has no pages, yet there may be more of it.
        let next = found.next.or((!found.complete || left.is_some_and(|l| l > 0)).then(String::new));
        Ok(Listed { items: read.into_iter().flatten().collect(), next, remaining: left, ..Listed::default() })
    }

    async fn objects(&self, kind: &ApiKind) -> Result<Found, ToolError> {
        let listed = self.whole(kind).await?;
        let objects: Vec<Value> = listed.items.iter().map(redact::object).collect();
        Ok(self.found(kind, &listed, What::Objects(objects)))
    }

    async fn projected(&self, kind: &ApiKind) -> Result<Found, ToolError> {
        let listed = self.whole(kind).await?;
        let fields = self.fields();
        let mut columns = vec!["NAME".to_string()];
        columns.extend(fields.iter().map(|f| sanitize::line(f)));
        let rows = listed.items.iter().map(|item| projected_row(&redact::object(item), fields)).collect();
        Ok(self.found(kind, &listed, What::Rows { columns, rows }))
    }

    async fn images(&self, kind: &ApiKind) -> Result<Found, ToolError> {
        let listed = self.list(kind, MOST_SEEN, Some(images::what_it_takes)).await?;
        let what = What::Images(images::of(&kind.singular, &listed.items));
        Ok(self.found(kind, &listed, what))
    }

    fn found(&self, kind: &ApiKind, listed: &Listed, what: What) -> Found {
        let complete = listed.next.is_none();
        let rest = if complete { Some(0) } else { listed.remaining };
        let total = rest.filter(|_| self.query.page.is_none()).map(|r| listed.items.len() + r as usize);
        Found {
            kind: kind.clone(),
            what,
            total,
            complete,
            next: listed.next.clone().filter(|n| !n.is_empty()),
        }
    }

    /// Why there is nothing of that name, with what may have been meant.
    async fn no_such(&self, kind: &ApiKind, name: &str) -> ToolError {
        let namespace = self.namespace.filter(|_| kind.namespaced);
        if let Some(namespace) = namespace
            && let Err(e) = must_exist(self.cluster, namespace).await
        {
            return e;
        }
        let mut similar = Vec::new();
        if namespace.is_some() {
            let fields = Some(format!("metadata.name={name}"));
            let what = Listing { fields, limit: Some(3), ..Listing::default() };
            if let Ok(elsewhere) = self.cluster.list(kind, None, &what).await {
                let places = elsewhere.items.iter().map(|l| sanitize::line(text(l, "/metadata/namespace")));
                similar.extend(places.map(|n| format!("{}/{name} in {n}", kind.singular)));
            }
        }
        if similar.is_empty() {
            let names = self.cluster.names(kind, namespace).await;
            similar = nearest(name, names.iter().map(String::as_str));
        }
        let place = namespace.map(|n| format!(" in namespace {n}")).unwrap_or_default();
        ToolError::NotFound { message: format!("there is no {} `{name}`{place}", kind.singular), similar }
    }
}
