"""Rows of data sets: from a task's own files, data directories, the embedded pack or the Hugging Face hub."""

from evalkit.data.embedded import embedded_model_path
from evalkit.data.load import describe, load_rows
from evalkit.data.options import DataOptions, data_home
from evalkit.data.rows import DatasetInfo, Rows, content_sha256, document_id, unique_ids
from evalkit.data.schema import check_row

__all__ = [
    "DataOptions",
    "DatasetInfo",
    "Rows",
    "check_row",
    "content_sha256",
    "data_home",
    "describe",
    "document_id",
    "embedded_model_path",
    "load_rows",
    "unique_ids",
]
