//! Workers on hosts that have booted without their mount, beside a healthy one: they fail no file, and it loads all.

use std::time::Duration;

use longshore_tests::Progress;

use crate::{findings::Findings, manifest::Size, oracle, service::Kind, site::Site, wait, world::World};

/// Files that lie there before any worker sees them, and that come meanwhile.
const FILES: usize = 60;
/// How often the blind workers must have tried before the healthy one begins.
const TRIES: i64 = 30;
const SOON: Duration = Duration::from_secs(60);

pub(crate) async fn run(world: &World) -> anyhow::Result<Findings> {
    let progress = Progress::new("mount", 1);
    progress.begin("two workers see an empty folder where the files are");
    let mut site = Site::create(world, "mount", None).await?;
    site.feed(&[Size::Small; FILES])?;
    site.publish_all().await?;
    let mut services =
        vec![site.start(Kind::Scanner, &[]), site.start_without_mount(), site.start_without_mount()];
    let client = site.client().await?;
    let tried = async || {
        let tries: i64 = client
            .query_one("SELECT count(*) FROM longshore.attempt WHERE outcome IS NOT NULL", &[])
            .await?
            .get(0);
        Ok((tries >= TRIES).then_some(()))
    };
    wait::until("the workers without their mount to try", SOON, tried).await?;
    services.push(site.start(Kind::Worker, &[]));
    site.feed(&[Size::Small; FILES])?;
    let mut findings = Findings::default();
    findings.fault("workers without their mount");
    oracle::judge(site, services, findings).await
}
