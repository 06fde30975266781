//! What pods use, as the cluster's metrics server tells it, if there is one.

use serde_json::Value;

use crate::orchestrator::ProcessMetrics;

/// What all containers of a pod use.
pub(crate) fn of_pod(metrics: &Value) -> ProcessMetrics {
    let containers = metrics["containers"].as_array().map_or(&[][..], Vec::as_slice);
    let sum = |resource: &str, unit: f64| {
        let amounts = containers.iter().map(|container| quantity(container["usage"][resource].as_str()?));
        let total: f64 = amounts.sum::<Option<f64>>()?;
        // Quantities are far below what a float counts exactly, and never negative.
        (!containers.is_empty()).then_some((total * unit).round() as u64)
    };
    ProcessMetrics { cpu_nano_cores: sum("cpu", 1e9), memory_bytes: sum("memory", 1.0), disk_bytes: None }
}

/// Kubernetes' way to write an amount, such as `250m`, `1Gi`, `12345n` or `1e3`.
fn quantity(text: &str) -> Option<f64> {
    let suffixes: [(&str, f64); 16] = [
        ("Ki", 1024.0),
        ("Mi", 1024.0 * 1024.0),
        ("Gi", 1024.0 * 1024.0 * 1024.0),
        ("Ti", 1024.0 * 1024.0 * 1024.0 * 1024.0),
        ("Pi", 1024.0 * 1024.0 * 1024.0 * 1024.0 * 1024.0),
        ("Ei", 1024.0 * 1024.0 * 1024.0 * 1024.0 * 1024.0 * 1024.0),
        ("n", 1e-9),
        ("u", 1e-6),
        ("m", 1e-3),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("T", 1e12),
        ("P", 1e15),
        ("E", 1e18),
        ("", 1.0),
    ];
    let (number, unit) = suffixes.into_iter().find_map(|(suffix, unit)| Some((text.strip_suffix(suffix)?, unit)))?;
    let is_number = |character: char| character.is_ascii_digit() || ".eE+-".contains(character);
    let amount: f64 = Some(number).filter(|number| number.chars().all(is_number))?.parse().ok()?;
    Some(amount * unit).filter(|amount| *amount >= 0.0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn amounts_are_understood() {
        for (text, expected) in
            [("1", 1.0), ("250m", 0.25), ("1Ki", 1024.0), ("1.5Gi", 1_610_612_736.0), ("2k", 2000.0), ("1e3", 1000.0)]
        {
            assert_eq!(quantity(text), Some(expected), "{text}");
        }
        for text in ["", "x", "-1", "1Xi", "inf", "nan", "1 Ki"] {
            assert_eq!(quantity(text), None, "{text}");
        }
    }

    #[test]
    fn containers_are_added_up() {
        let usage = |cpu: &str, memory: &str| json!({ "name": "x", "usage": { "cpu": cpu, "memory": memory } });
        let pod = json!({ "containers": [usage("123456789n", "10Mi"), usage("1", "1Ki")] });
        let metrics = of_pod(&pod);
        assert_eq!((metrics.cpu_nano_cores, metrics.memory_bytes), (Some(1_123_456_789), Some(10_486_784)));
        assert_eq!(metrics.disk_bytes, None);
        assert_eq!(of_pod(&json!({ "containers": [] })), ProcessMetrics::default());
        assert_eq!(of_pod(&json!({ "containers": [usage("?", "1Ki")] })).cpu_nano_cores, None);
    }
}
