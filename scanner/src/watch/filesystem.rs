//! Which file systems tell of everything that happens in them.

use std::path::Path;

use anyhow::Context;

/// The magic numbers of file systems that other machines, or other programs behind them, change as well.
const REMOTE: [u32; 13] = [
    0x0000_6969, // NFS
    0x0000_517b, // SMB
    0xff53_4d42, // CIFS
    0xfe53_4d42, // SMB 2
    0x6573_5546, // FUSE, virtiofs
    0x0102_1997, // 9p
    0x00c3_6400, // Ceph
    0x0bd0_0bd0, // Lustre
    0x4750_4653, // GPFS
    0x0116_1970, // GFS2
    0x7461_636f, // OCFS2
    0x5346_414f, // AFS
    0x786f_4256, // VirtualBox shared folders
];

/// Whether what lies at `path` can change without this machine's doing. Blocks.
pub(super) fn is_remote(path: &Path) -> anyhow::Result<bool> {
    let statistics = rustix::fs::statfs(path).context("its file system cannot be asked")?;
    // Wider or signed, by the machine; the numbers have 32 bits.
    Ok(REMOTE.contains(&(statistics.f_type as u32)))
}
