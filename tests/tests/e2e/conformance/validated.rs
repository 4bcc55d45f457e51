//! What `longshore validate` says of a case, to be compared with what the load did.

use std::collections::BTreeMap;

use longshore_tests::Stage;
use serde_json::Value;

use super::{Case, Outcome};

/// Count and first line by rule and column.
type Rejects = BTreeMap<(String, Option<String>), (i64, i64)>;

/// Says what differs.
pub(super) async fn compare(stage: &Stage, spec: &str, case: &Case, loaded: &Outcome) -> Result<(), String> {
    let finished = stage.run(&["validate", spec, case.input.to_str().unwrap(), "--json"]).await;
    let report = finished.json();
    let file = &report["files"][0];
    let is_clean = matches!(loaded, Outcome::Loaded { rejects, .. } if rejects.is_empty());
    if finished.code != i32::from(!is_clean) {
        return Err(format!("validate ended with {}", finished.code));
    }
    match loaded {
        Outcome::Failed(message) => same("failure", &file["failure"].as_str(), &Some(message.as_str())),
        Outcome::Loaded { rejects, counts, .. } => {
            same("failure", &file["failure"], &Value::Null)?;
            let count = |key: &str| file[key].as_i64().unwrap_or(-1);
            same("counts", &["rows_read", "rows_loaded", "rows_rejected"].map(count), counts)?;
            let mut by_rule = Rejects::new();
            for (line, (_, column, rule, _)) in rejects {
                let entry = by_rule.entry((rule.clone(), column.clone())).or_insert((0, i64::from(*line)));
                entry.0 += 1;
            }
            same("rejects", &reported(&report), &by_rule)
        }
    }
}

fn reported(report: &Value) -> Rejects {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let entry = |reject: &Value| {
        let rule = text(&reject["rule"]).unwrap_or_default();
        let number = |key: &str| reject[key].as_i64().unwrap_or(-1);
        ((rule, text(&reject["column"])), (number("count"), number("line")))
    };
    report["rejects"].as_array().unwrap().iter().map(entry).collect()
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, validated: &T, loaded: &T) -> Result<(), String> {
    match validated == loaded {
        true => Ok(()),
        false => Err(format!("{what} by validate {validated:?}, by the load {loaded:?}")),
    }
}
