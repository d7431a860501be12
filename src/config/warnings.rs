//! What is allowed, but should not go unnoticed: the start log and `check` say it.

use super::Config;
use crate::webhook::settings::Url;

impl Config {
    /// One sentence for everything that makes the gateway less safe than it could be.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.api.keys.is_empty() {
            warnings.push(
                "the API is open to everybody on this machine: there is no [[api.key]]".to_owned(),
            );
        }
        for name in &self.ignored {
            warnings.push(format!(
                "{name} is ignored: it is for a start without a configuration file, and the file does not name it (\"env:{name}\")"
            ));
        }
        if self.transport.cors.any_origin {
            warnings.push("cors.insecure_any_origin: pages of every origin may connect".to_owned());
        }
        for upstream in &self.upstreams {
            let name = &upstream.name;
            if upstream.insecure_skip_verify {
                warnings.push(format!(
                    "upstream {name}: insecure_skip_verify accepts any certificate"
                ));
            }
            if upstream.secrets.is_empty() && matches!(upstream.url, Url::Http(_)) {
                warnings.push(format!("upstream {name}: requests are not signed"));
            }
        }
        warnings
    }
}
