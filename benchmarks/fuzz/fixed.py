"""What fuzzing has found so far; each is mended, and a test in tests/pipeline/test_fuzz.py holds it."""

FIXED = [
    "npy: a shape of no numbers and a dimension of 2^63 left NumPy's ValueError through",
    "scan-npy: 72 bytes whose header claims a length of 4 GiB had 4 GiB set aside; NumPy's file size overflowed",
    "arrow shard: damaged offsets of a text column ended the process (std::length_error)",
    "arrow shard: a field's name that is not UTF-8 left UnicodeDecodeError through",
    "tar shard: a member whose padding the file does not have left OSError through",
    "tar shard: a row number of thirty digits left OverflowError through",
    "tar source: a pax header that claims 2 GiB had 2 GiB set aside",
    "store.json: members of other types under a right seal left KeyError and TypeError through, depth RecursionError",
    "store.json: a plan of 0 inputs a shard, or of 2^53 shards, was taken",
    "record: numbers and failures of other types were taken",
    "butd-tsv, lxmert-tsv, volta-tsv: a line without a key was stored under an empty one",
    "list.jsonl, list.csv: rows that are no objects, boxes of other types, a zero byte in a path, a long field",
    "folders, tars and HDF5: a name that is not UTF-8 ended the job with UnicodeEncodeError",
    "qvhighlights-npz, mad-h5: features of one axis had their times laid out, 37 times their size, then were refused",
]
