//! Where telemetry goes: the standard `OTEL_…` variables that the exporters leave to the program.

use std::thread;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use opentelemetry_otlp::OTEL_EXPORTER_OTLP_TIMEOUT_DEFAULT;
use reqwest::blocking::Client;
use reqwest::redirect;
use url::Url;

use crate::tls;

/// What is exported, by its part of the variables' names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    Traces,
    Metrics,
}

impl Signal {
    fn in_variables(self) -> &'static str {
        match self {
            Self::Traces => "TRACES",
            Self::Metrics => "METRICS",
        }
    }

    /// The signal in words.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Metrics => "metrics",
        }
    }
}

/// The collector of one signal. The exporter reads path, headers and compression itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Collector {
    /// Scheme, host and port: what may be logged of the URL, which may hold a password.
    pub(super) address: String,
    certificate_file: Option<String>,
    timeout: Duration,
}

impl Collector {
    /// Reads the settings for `signal` through `lookup`; `None` if it is not to be exported.
    pub(super) fn from_env(
        signal: Signal,
        lookup: &dyn Fn(&str) -> Option<String>,
    ) -> anyhow::Result<Option<Self>> {
        let lookup = |name: &str| lookup(name).filter(|value| !value.trim().is_empty());
        if lookup("OTEL_SDK_DISABLED").is_some_and(|value| value.trim().eq_ignore_ascii_case("true")) {
            return Ok(None);
        }
        let exporters = lookup(&format!("OTEL_{}_EXPORTER", signal.in_variables()));
        if exporters.is_some_and(|list| !list.split(',').any(|exporter| exporter.trim() == "otlp")) {
            return Ok(None);
        }
        // A variable of one signal goes before that of all.
        let setting = |setting: &str| {
            let own = format!("OTEL_EXPORTER_OTLP_{}_{setting}", signal.in_variables());
            [own, format!("OTEL_EXPORTER_OTLP_{setting}")]
                .into_iter()
                .find_map(|name| lookup(&name).map(|value| (name, value)))
        };
        let Some((name, endpoint)) = setting("ENDPOINT") else { return Ok(None) };
        let address = address(&endpoint).with_context(|| name)?;
        if let Some((name, protocol)) = setting("PROTOCOL")
            && protocol.trim() != "http/protobuf"
        {
            bail!("{name}: {protocol:?} is not supported, only http/protobuf");
        }
        let timeout = match setting("TIMEOUT") {
            Some((name, value)) => Duration::from_millis(
                value
                    .trim()
                    .parse()
                    .map_err(|_| anyhow!("{name}: {value:?} is no number of milliseconds"))?,
            ),
            None => OTEL_EXPORTER_OTLP_TIMEOUT_DEFAULT,
        };
        let certificate_file = setting("CERTIFICATE").map(|(_, file)| file);
        Ok(Some(Self { address, certificate_file, timeout }))
    }

    /// A client for the exporter.
    ///
    /// The SDK drives its exporters from threads of its own, which have no tokio reactor: the client
    /// must be the blocking one, which brings a reactor along.
    pub(super) fn client(&self) -> anyhow::Result<Client> {
        let tls = if self.address.starts_with("https:") {
            tls::verifying_client(self.certificate_file.as_deref())
                .context("OTEL_EXPORTER_OTLP_CERTIFICATE, or the machine's certificates")?
        } else {
            // Not used, and a machine without certificates is no obstacle.
            no_tls()?
        };
        let builder = Client::builder()
            .timeout(self.timeout)
            .redirect(redirect::Policy::none())
            .tls_backend_preconfigured(tls);
        // Building a blocking client blocks, which a thread of the runtime must not.
        thread::scope(|scope| scope.spawn(|| builder.build()).join())
            .map_err(|_| anyhow!("the thread that builds the HTTP client panicked"))?
            .context("cannot build the HTTP client")
    }
}

fn no_tls() -> anyhow::Result<rustls::ClientConfig> {
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    Ok(rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth())
}

/// Checks a URL and takes from it what may be logged. No error repeats the URL.
fn address(endpoint: &str) -> anyhow::Result<String> {
    // The exporter's own parser is stricter, and its error would repeat the URL.
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._~:/?#[]@!$&'()*+,;=%".contains(c);
    if !endpoint.chars().all(allowed) {
        bail!("not a URL");
    }
    let url = Url::parse(endpoint).context("not a URL")?;
    match url.host_str() {
        Some(host) if matches!(url.scheme(), "http" | "https") => {
            let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
            Ok(format!("{}://{host}{port}", url.scheme()))
        }
        _ => bail!("must begin with http:// or https:// and a host"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collector(signal: Signal, env: &[(&str, &str)]) -> anyhow::Result<Option<Collector>> {
        let find =
            |name: &str| env.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Collector::from_env(signal, &find)
    }

    fn address_of(signal: Signal, env: &[(&str, &str)]) -> Option<String> {
        collector(signal, env).unwrap().map(|collector| collector.address)
    }

    #[test]
    fn export_is_off_unless_an_endpoint_is_set() {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://otel:4318");
        for off in [
            vec![],
            vec![("OTEL_EXPORTER_OTLP_ENDPOINT", " ")],
            vec![("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://otel:4318/v1/metrics")],
            vec![endpoint, ("OTEL_SDK_DISABLED", "True")],
            vec![endpoint, ("OTEL_TRACES_EXPORTER", "none")],
        ] {
            assert_eq!(address_of(Signal::Traces, &off), None, "{off:?}");
        }
        assert_eq!(address_of(Signal::Traces, &[endpoint]).as_deref(), Some("http://otel:4318"));
        assert_eq!(
            address_of(Signal::Metrics, &[endpoint, ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "https://m/x")])
                .as_deref(),
            Some("https://m"),
        );
    }

    #[test]
    fn a_bad_setting_is_named_and_a_password_is_not_repeated() {
        let endpoint = "OTEL_EXPORTER_OTLP_ENDPOINT";
        for (name, value) in [
            (endpoint, "otel:4318"),
            (endpoint, " http://user:secret@host/"),
            (endpoint, "http://user:secret@ho st/"),
            (endpoint, "http://user:secret@host/a|b"),
            (endpoint, "http://user:secret@host:port"),
            (endpoint, "ftp://user:secret@host"),
            ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"),
        ] {
            let error =
                collector(Signal::Traces, &[(name, value), (endpoint, "http://otel:4318")]).unwrap_err();
            let message = format!("{error:#}");
            assert!(message.contains(name) && !message.contains("secret"), "{value}: {message}");
        }
        let logged = address_of(Signal::Traces, &[(endpoint, "https://user:secret@host:4318/path?token=x")]);
        assert_eq!(logged.as_deref(), Some("https://host:4318"));
    }

    #[test]
    fn a_client_for_https_verifies_without_a_provider_of_the_process() {
        let env = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://otel"),
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/no/such.pem"),
        ];
        let error = collector(Signal::Traces, &env).unwrap().unwrap().client().unwrap_err();
        assert!(format!("{error:#}").contains("/no/such.pem"), "{error:#}");
        collector(Signal::Traces, &env[..1]).unwrap().unwrap().client().unwrap();
    }
}
