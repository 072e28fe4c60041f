"""Metrics of images. A name fixes the protocol; the registry is `METRICS`."""

from gancompress.evaluation.bootstrap import bootstrap_interval
from gancompress.evaluation.evaluator import Evaluator
from gancompress.evaluation.features import ContentMask, FeatureNetwork, FeatureSet, load_feature_network
from gancompress.evaluation.frechet import FrechetReference
from gancompress.evaluation.images import RESIZES, quantize, resize
from gancompress.evaluation.inception_score import Classifier, ClassScores, load_classifier
from gancompress.evaluation.kernel_distance import kernel_distance
from gancompress.evaluation.kinds import LatentMetric, Metric, PairMetric, SetMetric
from gancompress.evaluation.network_spec import NetworkSpec
from gancompress.evaluation.pairs import psnr, sharpness_gap, structural_similarity
from gancompress.evaluation.precision_recall import precision_recall
from gancompress.evaluation.protocols import SEGMENTATION_PROTOCOLS, SegmentationProtocol
from gancompress.evaluation.ranks import RankAgreement, kendall_tau, rank_agreement, rank_correlation
from gancompress.evaluation.reference_cache import ReferenceCache, content_digest, read_statistics, reference_key
from gancompress.evaluation.registry import METRICS, find_metric, find_perceptual, perceptual_distance, register_metric
from gancompress.evaluation.result import MetricResult
from gancompress.evaluation.segmentation import LabelScores, SegmentationNetwork
from gancompress.evaluation.statistics import Statistics

__all__ = [
    "METRICS",
    "RESIZES",
    "SEGMENTATION_PROTOCOLS",
    "ClassScores",
    "Classifier",
    "ContentMask",
    "Evaluator",
    "FeatureNetwork",
    "FeatureSet",
    "FrechetReference",
    "LabelScores",
    "LatentMetric",
    "Metric",
    "MetricResult",
    "NetworkSpec",
    "PairMetric",
    "RankAgreement",
    "ReferenceCache",
    "SegmentationNetwork",
    "SegmentationProtocol",
    "SetMetric",
    "Statistics",
    "bootstrap_interval",
    "content_digest",
    "find_metric",
    "find_perceptual",
    "kendall_tau",
    "kernel_distance",
    "load_classifier",
    "load_feature_network",
    "perceptual_distance",
    "precision_recall",
    "psnr",
    "quantize",
    "rank_agreement",
    "rank_correlation",
    "read_statistics",
    "reference_key",
    "register_metric",
    "resize",
    "sharpness_gap",
    "structural_similarity",
]
