//! The table's owner alters it while loads run: types there and back, a name, and a spec that goes along.

use longshore_tests::Progress;
use tokio_postgres::Client;

use crate::{
    crew::{self, Crew},
    findings::Findings,
    oracle,
    site::Site,
    world::World,
};

#[derive(Debug, Clone, Copy)]
enum Change {
    /// A value of the same width, which COPY in binary form would take for another.
    SameWidth,
    /// A value of another form.
    OtherForm,
    Rename,
    /// The way to another type: ALTER, then apply; and back.
    WithSpec,
}

impl Change {
    const ALL: [Self; 4] = [Self::SameWidth, Self::OtherForm, Self::Rename, Self::WithSpec];

    fn name(self) -> &'static str {
        match self {
            Self::SameWidth => "integer altered to real and back",
            Self::OtherForm => "numeric altered to double and back",
            Self::Rename => "column renamed and back",
            Self::WithSpec => "integer altered to bigint, applied, and back",
        }
    }

    /// There, and back. Every value survives both.
    fn statements(self) -> [&'static str; 2] {
        match self {
            Self::SameWidth => ["ALTER number TYPE real", "ALTER number TYPE integer"],
            Self::OtherForm => ["ALTER amount TYPE double precision", "ALTER amount TYPE numeric(12,2)"],
            Self::Rename => ["RENAME note TO remark", "RENAME remark TO note"],
            Self::WithSpec => [
                "ALTER file TYPE bigint, ALTER number TYPE bigint",
                "ALTER file TYPE integer, ALTER number TYPE integer",
            ],
        }
    }
}

const TYPES: [&str; 2] = ["type = \"integer\"", "type = \"bigint\""];

pub(crate) async fn run(world: &World) -> anyhow::Result<Findings> {
    let mut site = Site::create(world, "alter", None).await?;
    let crew = Crew::start(&mut site);
    let client = site.client().await?;
    let mut findings = Findings::default();
    let changes = Change::ALL.repeat(if world.size.is_full { 5 } else { 1 });
    let progress = Progress::new("alter", changes.len() as u64);
    for change in changes {
        progress.begin(change.name());
        let [there, back] = change.statements();
        alter(&mut site, &client, there).await?;
        if matches!(change, Change::WithSpec) {
            crew::random_moment(&mut site, 1000).await;
            site.apply(&[(TYPES[0], TYPES[1])]).await?;
        }
        alter(&mut site, &client, back).await?;
        if matches!(change, Change::WithSpec) {
            crew::random_moment(&mut site, 1000).await;
            site.apply(&[(TYPES[1], TYPES[0])]).await?;
        }
        findings.fault(change.name());
    }
    oracle::judge(site, crew.services, findings).await
}

/// Alters the table at a moment at which tasks are open.
async fn alter(site: &mut Site<'_>, client: &Client, statement: &str) -> anyhow::Result<()> {
    crew::at_work(site, client, 2000).await?;
    client.batch_execute(&format!("ALTER TABLE reporting.chaos {statement}")).await?;
    Ok(())
}
