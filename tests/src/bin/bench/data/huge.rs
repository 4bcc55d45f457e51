//! Files that are far larger than a worker's memory may be, or become so when they are read.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
};

use flate2::{Compression, write::GzEncoder};

/// Bytes that are written at once.
const WRITE_BYTES: usize = 1 << 20;

/// A new file of the header and so many of the unit that it has at least `bytes`; gives how many.
pub(crate) fn write(path: &Path, header: &str, unit: &[u8], bytes: u64) -> anyhow::Result<u64> {
    Ok(repeat(File::create_new(path)?, header, unit, bytes)?.1)
}

/// The same as a gzip archive, which is smaller than a thousandth: the unit must be one byte over and over, with little else.
pub(crate) fn write_bomb(path: &Path, header: &str, unit: &[u8], bytes: u64) -> anyhow::Result<()> {
    let archive = GzEncoder::new(BufWriter::new(File::create_new(path)?), Compression::best());
    let (archive, _) = repeat(archive, header, unit, bytes)?;
    archive.finish()?.flush()?;
    let archived = path.metadata()?.len();
    anyhow::ensure!(archived * 1000 < bytes, "{} has {archived} bytes and is no bomb", path.display());
    Ok(())
}

fn repeat<W: Write>(mut output: W, header: &str, unit: &[u8], bytes: u64) -> io::Result<(W, u64)> {
    output.write_all(header.as_bytes())?;
    let at_once = (WRITE_BYTES / unit.len()).max(1);
    let (units, mut left) = (unit.repeat(at_once), bytes.div_ceil(unit.len() as u64));
    let count = left;
    while left > 0 {
        let now = left.min(at_once as u64);
        output.write_all(&units[..now as usize * unit.len()])?;
        left -= now;
    }
    Ok((output, count))
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Read};

    use flate2::read::GzDecoder;

    use super::*;

    #[test]
    fn a_unit_is_repeated_whole_until_there_are_so_many_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        assert_eq!(write(&path, "a,b\n", b"1,2\n", 3_000_001).unwrap(), 750_001);
        assert_eq!(fs::read_to_string(path).unwrap(), format!("a,b\n{}", "1,2\n".repeat(750_001)));
        let large = folder.path().join("b.csv");
        assert_eq!(write(&large, "", &[b'x'; 2 * WRITE_BYTES], 1).unwrap(), 1);
        assert_eq!(large.metadata().unwrap().len(), 2 * WRITE_BYTES as u64);
    }

    #[test]
    fn a_bomb_is_a_thousand_times_its_archive() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv.gz");
        let row = [vec![b'x'; 900 << 10], b",\n".to_vec()].concat();
        write_bomb(&path, "a,b\n", &row, 20 << 20).unwrap();
        let mut length = 0;
        let mut decoder = GzDecoder::new(File::open(&path).unwrap());
        let mut chunk = vec![0; WRITE_BYTES];
        loop {
            match decoder.read(&mut chunk).unwrap() {
                0 => break,
                read => length += read as u64,
            }
        }
        assert!(length >= 20 << 20);
        assert!(write_bomb(&folder.path().join("b.csv.gz"), "a\n", b"1\n", 1000).is_err());
    }
}
