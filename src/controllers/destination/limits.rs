//! What a destination takes at most, from the spec to the engine's values: pure.

use std::num::NonZeroU32;

use super::resolve::{Unresolvable, refused};
use crate::api::OutboundDestinationSpec;
use crate::transfer::{Bandwidth, Limits};

/// The limits that `spec` names.
///
/// # Errors
/// When a field holds what the schema refuses.
pub(super) fn of(spec: &OutboundDestinationSpec) -> Result<Limits, Unresolvable> {
    let Some(limits) = &spec.limits else {
        return Ok(Limits::default());
    };
    let parts = limits.max_concurrent_parts.map(|parts| {
        let parts = u32::try_from(parts).map_err(refused("limits.maxConcurrentParts"))?;
        NonZeroU32::try_from(parts).map_err(refused("limits.maxConcurrentParts"))
    });
    let bandwidth = limits.bandwidth.as_ref().map(|bandwidth| {
        let bytes = bandwidth.bytes().map_err(refused("limits.bandwidth"))?;
        Bandwidth::new(bytes).map_err(refused("limits.bandwidth"))
    });
    Ok(Limits {
        parts: parts.transpose()?,
        bandwidth: bandwidth.transpose()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml;

    fn of(limits: &str) -> Result<Limits, Unresolvable> {
        let spec = format!("{{bucket: acme, permissionMode: AccessKey{limits}}}");
        super::of(&yaml::read(&spec).unwrap())
    }

    #[test]
    fn absent_is_no_limit_and_quantities_are_kubernetes_own() {
        assert_eq!(of("").unwrap(), Limits::default());
        let both = of(", limits: {maxConcurrentParts: 3, bandwidth: 20M}").unwrap();
        assert_eq!(both.parts, NonZeroU32::new(3));
        assert_eq!(both.bandwidth, Some(Bandwidth::new(20_000_000).unwrap()));
        let plain = of(", limits: {bandwidth: 1048576}").unwrap();
        assert_eq!(plain, of(", limits: {bandwidth: 1Mi}").unwrap());
    }

    #[test]
    fn what_the_schema_refuses_is_refused() {
        for limits in [
            "maxConcurrentParts: 0",
            "maxConcurrentParts: -1",
            "bandwidth: 127k",
            "bandwidth: 2T",
            "bandwidth: fast",
        ] {
            let refused = of(&format!(", limits: {{{limits}}}")).unwrap_err();
            let field = format!("spec.limits.{}: ", limits.split(':').next().unwrap());
            assert!(refused.to_string().starts_with(&field), "{refused}");
        }
    }
}
