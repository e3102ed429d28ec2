"""What a batch is read from: JSON, tables, texts and directories."""

from spacedock.batching.sources.line import BadLine as BadLine
from spacedock.batching.sources.line import BatchLine as BatchLine
from spacedock.batching.sources.row import SourceOptions as SourceOptions
from spacedock.batching.sources.source import Source as Source
from spacedock.batching.sources.source import open_source as open_source
