//! What a Prometheus answered: figures, or an honest reason why there are none. Nothing in it is trusted.

use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use crate::object::text;
use crate::report::bounded;
use crate::{redact, sanitize};

/// Larger figures are none: nothing in a cluster is so much, in cores, bytes or seconds.
const MOST: f64 = 1e15;

/// A figure and what it is of. What a query does not group by is empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Figure {
    pub namespace: String,
    pub pod: String,
    pub container: String,
    pub workload: String,
    pub value: f64,
}

/// The figures of one answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Figures {
    pub all: Vec<Figure>,
    /// What it warns of, in its words.
    pub warnings: Vec<String>,
}

/// Why there are no figures.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum NoFigures {
    /// The API server does not let us ask, in its words.
    Forbidden(String),
    /// It would be too much for it, or take too long: with fewer samples it may work.
    TooMuch(String),
    /// Whatever else, as the end of a sentence that begins with the Service.
    Failed(String),
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    status: String,
    #[serde(default)]
    error: String,
    data: Option<Data>,
    #[serde(default)]
    warnings: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Data {
    #[serde(rename = "resultType")]
    kind: String,
    result: Vec<Sample>,
}

#[derive(Deserialize)]
struct Sample {
    metric: Labels,
    /// Time and value; a histogram has none.
    value: Option<(f64, String)>,
}

#[derive(Deserialize)]
struct Labels {
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    pod: String,
    #[serde(default)]
    container: String,
    #[serde(default)]
    workload: String,
}

/// Reads an answer: of Prometheus, or of the API server where it could not pass the question on.
pub(super) fn read(status: StatusCode, body: &[u8]) -> Result<Figures, NoFigures> {
    if !status.is_success() {
        return Err(refused(status, body));
    }
    let answer: Answer = serde_json::from_slice(body)
        .map_err(|_| NoFigures::Failed("answered with something that is no answer of a Prometheus".into()))?;
    let data = match (answer.status.as_str(), answer.data) {
        ("success", Some(data)) if data.kind == "vector" => data,
        ("success", _) => return Err(NoFigures::Failed("answered something else than was asked".into())),
        _ => return Err(NoFigures::Failed(format!("answered: {}", said(&answer.error)))),
    };
    let figure = |sample: Sample| {
        let value: f64 = sample.value?.1.parse().ok()?;
        // NaN is in no range.
        (0.0..MOST).contains(&value).then_some(())?;
        let Labels { namespace, pod, container, workload } = sample.metric;
        Some(Figure { namespace, pod, container, workload, value })
    };
    let warnings = answer.warnings.unwrap_or_default();
    Ok(Figures {
        all: data.result.into_iter().filter_map(figure).collect(),
        warnings: warnings.iter().take(3).map(|w| said(w)).collect(),
    })
}

/// What a refusal means. The API server's own is a `Status`; anything else is the program's.
fn refused(status: StatusCode, body: &[u8]) -> NoFigures {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    let own = text(&answer, "/kind") == "Status";
    let message = match (text(&answer, "/message"), text(&answer, "/error")) {
        (message, _) if own => said(message),
        (_, error) if !error.is_empty() => said(error),
        _ => said(&String::from_utf8_lossy(&body[..body.len().min(200)])),
    };
    let code = status.as_u16();
    match code {
        403 if own => NoFigures::Forbidden(message),
        404 | 500.. if own => NoFigures::Failed(format!("cannot be reached ({message})")),
        // Prometheus answers 422 for a query that failed, 503 for one that was stopped.
        422 | 503 if message.contains("too many samples") || message.contains("timed out") => {
            NoFigures::TooMuch(format!("answered {code}: {message}"))
        }
        _ if message.is_empty() => NoFigures::Failed(format!("answered {code}")),
        _ => NoFigures::Failed(format!("answered {code}: {message}")),
    }
}

/// Words of somebody else, short and on one line.
fn said(words: &str) -> String {
    redact::text(&sanitize::line(bounded(words, 300).trim())).trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ok(body: &str) -> Result<Figures, NoFigures> {
        read(StatusCode::OK, body.as_bytes())
    }

    #[test]
    fn figures_are_read_and_what_is_none_is_dropped() {
        let sample = |value: &str| {
            format!(
                r#"{{"metric":{{"namespace":"t","pod":"p","container":"c","other":"x"}},"value":[1.5,"{value}"]}}"#
            )
        };
        let values =
            ["0.04", "NaN", "+Inf", "-Inf", "-1", "1e300", "x", "", "94371840"].map(sample).join(",");
        let histogram = r#"{"metric":{"pod":"h"},"histogram":[1,{}]}"#;
        let body = format!(
            r#"{{"status":"success","data":{{"resultType":"vector","result":[{values},{histogram}]}},"warnings":["half\nof it"],"infos":["x"]}}"#
        );
        let figures = ok(&body).unwrap();
        let values: Vec<f64> = figures.all.iter().map(|f| f.value).collect();
        assert_eq!(values, [0.04, 94371840.0]);
        assert_eq!((figures.all[0].namespace.as_str(), figures.all[0].pod.as_str()), ("t", "p"));
        assert_eq!(figures.all[0].container, "c");
        assert!(!figures.warnings[0].contains('\n'), "{:?}", figures.warnings);
        let none = r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#;
        assert_eq!(ok(none), Ok(Figures::default()));
    }

    #[test]
    fn what_is_no_answer_has_a_reason() {
        for body in [
            "",
            "<html>login</html>",
            "null",
            "[]",
            "{}",
            r#"{"status":"success"}"#,
            r#"{"status":"success","data":{"resultType":"scalar","result":[1,"2"]}}"#,
            r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#,
            r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"pod":1},"value":[1,"1"]}]}}"#,
            r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":["1",1]}]}}"#,
            r#"{"status":"success","data":{"resultType":"vector","result":[{"metric"#,
            r#"{"status":"error","error":"no"}"#,
        ] {
            assert!(matches!(ok(body), Err(NoFigures::Failed(_))), "{body}");
        }
        let deep = "[".repeat(100_000);
        assert!(ok(&deep).is_err());
    }

    #[test]
    fn a_refusal_is_told_in_its_words() {
        let of =
            |code: u16, body: &str| read(StatusCode::from_u16(code).unwrap(), body.as_bytes()).unwrap_err();
        let status =
            |message: &str| format!(r#"{{"kind":"Status","apiVersion":"v1","message":"{message}"}}"#);
        assert_eq!(of(403, &status("you may not")), NoFigures::Forbidden("you may not".into()));
        let failed = |why: &str| NoFigures::Failed(why.into());
        assert_eq!(of(503, &status("no endpoints")), failed("cannot be reached (no endpoints)"));
        assert_eq!(
            of(403, "log in\u{1b}[2J first"),
            failed(&format!("answered 403: {}", said("log in\u{1b}[2J first")))
        );
        assert!(!said("log in\u{1b}[2J first").contains('\u{1b}'));
        assert_eq!(of(302, ""), failed("answered 302"));
        let error = |said: &str| format!(r#"{{"status":"error","errorType":"execution","error":"{said}"}}"#);
        assert_eq!(of(400, &error("parse error")), failed("answered 400: parse error"));
        for much in [
            "query processing would load too many samples into memory",
            "query timed out in expression evaluation",
        ] {
            assert!(matches!(of(422, &error(much)), NoFigures::TooMuch(_)), "{much}");
        }
        assert!(said(&"x".repeat(10_000)).len() < 400);
    }
}
