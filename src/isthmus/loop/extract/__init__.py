"""Records become scenes, and scenes become rows of simple fields and one complex field."""

from isthmus.loop.extract.features import batch_of, row_of
from isthmus.loop.extract.scenes import scenes_of
from isthmus.loop.extract.settings import ExtractSettings

__all__ = ["ExtractSettings", "batch_of", "row_of", "scenes_of"]
