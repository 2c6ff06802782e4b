"""Data sets and their augmentation: in memory as uint8 tensors, or read when needed."""

from tune_nas.data.augment import Draws, cutout, draw, fitted, flip, random_crop
from tune_nas.data.batches import Batches, Pick, evaluation_batches, normalize
from tune_nas.data.data_shape import (
    DataShape,
    describe_data,
    described_once,
    known_shapes,
)
from tune_nas.data.data_source import DataFacts, DataSource, ImageSet, TrainStream
from tune_nas.data.dataset_registry import (
    Part,
    Source,
    dataset_description,
    dataset_names,
    register_dataset,
)
from tune_nas.data.images import Images, channel_statistics, resize
from tune_nas.data.loading import RetrainData, SearchData, load_data
from tune_nas.data.split import stratified
from tune_nas.data.streaming import StreamedData
from tune_nas.data.summary import ImageSummary, describe_images, summarize_images

__all__ = [
    "Batches",
    "DataFacts",
    "DataShape",
    "DataSource",
    "Draws",
    "ImageSet",
    "ImageSummary",
    "Images",
    "Part",
    "Pick",
    "RetrainData",
    "SearchData",
    "Source",
    "StreamedData",
    "TrainStream",
    "channel_statistics",
    "cutout",
    "dataset_description",
    "dataset_names",
    "describe_data",
    "describe_images",
    "described_once",
    "draw",
    "evaluation_batches",
    "fitted",
    "flip",
    "known_shapes",
    "load_data",
    "normalize",
    "random_crop",
    "register_dataset",
    "resize",
    "stratified",
    "summarize_images",
]
