"""A folder that loses a part while it is read is told in one line: the fuzzer found it, by the folder of temporary files."""

import pytest

import sdebench as sb
from sdebench.data import load, parquet


def test_a_folder_that_changes_while_it_is_read_is_told(tmp_path, monkeypatch):
    def vanish(root):
        raise FileNotFoundError(2, "No such file or directory", str(root / "below"))

    monkeypatch.setattr(parquet, "read", vanish)
    with pytest.raises(sb.UsageError, match="changed while it was read"):
        load(tmp_path)
