//! A cost document as CSV: one row an item, figures as in the JSON (pure).

use kai_tools::cost::Document;

use crate::error::Failure;

/// Renders the rows. What is not known is an empty cell.
///
/// # Errors
/// None in practice: the text is written to memory.
pub fn document(document: &Document) -> Result<String, Failure> {
    let failed = |e: &dyn std::fmt::Display| Failure::usage(format!("the CSV cannot be written: {e}"));
    let mut out = csv::Writer::from_writer(Vec::new());
    let number = |x: Option<f64>| x.map_or_else(String::new, |x| x.to_string());
    if let Some(delta) = &document.delta {
        out.write_record([
            "kind",
            "namespace",
            "name",
            "pods_before",
            "pods_after",
            "reserved_before",
            "reserved_after",
        ])
        .map_err(|e| failed(&e))?;
        for item in &delta.items {
            out.write_record([
                item.kind.clone(),
                item.namespace.clone(),
                item.name.clone(),
                item.replicas[0].to_string(),
                item.replicas[1].to_string(),
                number(item.reserved[0]),
                number(item.reserved[1]),
            ])
            .map_err(|e| failed(&e))?;
        }
    } else {
        out.write_record([
            "kind",
            "namespace",
            "name",
            "pods",
            "cpu_cores",
            "mem_gib",
            "gpus",
            "reserved",
            "reserved_min",
            "reserved_max",
            "allocated",
            "pv",
            "lb",
            "idle_share",
            "efficiency",
            "waste",
        ])
        .map_err(|e| failed(&e))?;
        for item in &document.items {
            out.write_record([
                item.kind.clone(),
                item.namespace.clone(),
                item.name.clone(),
                item.replicas.now.to_string(),
                item.cpu_cores.to_string(),
                item.mem_gib.to_string(),
                item.gpus.to_string(),
                number(item.reserved.now),
                number(item.reserved.min),
                number(item.reserved.max),
                number(item.allocated),
                number(item.pv),
                number(item.lb),
                number(item.idle_share),
                number(item.efficiency),
                number(item.waste),
            ])
            .map_err(|e| failed(&e))?;
        }
    }
    let bytes = out.into_inner().map_err(|e| failed(&e))?;
    Ok(String::from_utf8_lossy(&bytes).trim_end().to_string())
}
