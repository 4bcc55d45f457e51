//! The most memory that a process had at once, as Linux counts it.

use std::{fs, time::Duration};

/// Asks while the process runs: a peak only grows, so that nothing but the growth of the last moment can be missed.
const INTERVAL: Duration = Duration::from_millis(10);

/// Waits for `end`; gives its result and the peak of the process in KiB until then.
pub(crate) async fn until<T>(process_id: u32, end: impl Future<Output = T>) -> (T, u64) {
    let path = format!("/proc/{process_id}/status");
    let mut peak_kib = 0;
    let mut end = std::pin::pin!(end);
    loop {
        tokio::select! {
            ended = &mut end => return (ended, peak_kib),
            () = tokio::time::sleep(INTERVAL) => {
                let status = fs::read_to_string(&path).unwrap_or_default();
                peak_kib = vm_hwm_kib(&status).unwrap_or(0).max(peak_kib);
            }
        }
    }
}

/// `None` where the status does not say: that of a process which has ended but was not waited for.
fn vm_hwm_kib(status: &str) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    value.trim().strip_suffix(" kB")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_read_from_the_status_of_a_process() {
        let cases = [
            ("Name:\tlongshore\nVmPeak:\t  999 kB\nVmHWM:\t   18432 kB\nVmRSS:\t  100 kB\n", Some(18_432)),
            ("Name:\tlongshore\nState:\tZ (zombie)\n", None),
            ("VmHWM:\t 1 MB\n", None),
            ("", None),
        ];
        for (status, peak) in cases {
            assert_eq!(vm_hwm_kib(status), peak, "{status}");
        }
        assert!(vm_hwm_kib(&fs::read_to_string("/proc/self/status").unwrap()).unwrap() > 100);
    }

    #[tokio::test]
    async fn the_peak_of_a_process_that_runs_is_seen() {
        let waited = async {
            tokio::time::sleep(INTERVAL * 5).await;
            7
        };
        let (ended, peak_kib) = until(std::process::id(), waited).await;
        assert_eq!(ended, 7);
        assert!(peak_kib > 100);
    }
}
