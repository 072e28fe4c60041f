"""Features of real images, kept under what they depend on."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest
import torch
from torch import nn

from gancompress.evaluation import FeatureNetwork, FeatureSet, ReferenceCache, content_digest, reference_key

FEATURES = torch.arange(24.0).view(8, 3).square()
NETWORK = FeatureNetwork("tiny", nn.Identity(), (16, 16), "clean", "1")


class Maker:
    """Makes the features, and counts how often."""

    def __init__(self, keep: bool = True) -> None:
        self.keep, self.count = keep, 0

    def __call__(self) -> FeatureSet:
        self.count += 1
        features = FeatureSet(self.keep)
        features.add(FEATURES)
        return features


@pytest.mark.parametrize("keep", [True, False])
def test_features_are_made_once(tmp_path, keep):
    cache, make = ReferenceCache(tmp_path / "cache"), Maker(keep)
    first, again = cache.get("key", make, keep), cache.get("key", make, keep)
    assert make.count == 1
    assert again.statistics.mean.equal(first.statistics.mean)
    assert again.statistics.scatter.equal(first.statistics.scatter)
    assert again.features.equal(FEATURES) if keep else again.features is None
    cache.get("another", make, keep)
    assert make.count == 2


@pytest.mark.parametrize("damage", [b"", b"damaged", None])
def test_a_damaged_file_is_made_anew_with_a_warning(tmp_path, caplog, damage):
    cache, make = ReferenceCache(tmp_path), Maker()
    cache.get("key", make)
    path = tmp_path / "key.safetensors"
    path.write_bytes(path.read_bytes()[:-4] if damage is None else damage)
    with caplog.at_level(logging.WARNING):
        assert cache.get("key", make).count == 8
    assert make.count == 2
    assert "key.safetensors: damaged" in caplog.text
    caplog.clear()
    cache.get("key", make)
    assert (make.count, caplog.text) == (2, "")
    assert [entry.name for entry in tmp_path.iterdir()] == ["key.safetensors"]


def test_statistics_do_not_serve_where_features_are_wanted(tmp_path):
    cache, sparing, keeping = ReferenceCache(tmp_path), Maker(keep=False), Maker(keep=True)
    cache.get("key", sparing, keep=False)
    assert cache.get("key", keeping, keep=True).features.equal(FEATURES)
    cache.get("key", sparing, keep=False)
    assert (sparing.count, keeping.count) == (1, 1)


def test_a_folder_that_cannot_be_written_is_done_without(tmp_path, caplog):
    (tmp_path / "file").write_text("in the way")
    with caplog.at_level(logging.WARNING):
        assert ReferenceCache(tmp_path / "file").get("key", Maker()).count == 8
    assert "not kept" in caplog.text


def test_the_folder_lies_in_the_cache_of_the_package(tmp_path, monkeypatch):
    monkeypatch.setenv("GANCOMPRESS_CACHE", str(tmp_path))
    ReferenceCache().get("key", Maker())
    assert (tmp_path / "references" / "key.safetensors").is_file()


def test_keys_depend_on_what_matters():
    images = content_digest([b"1", b"2"], "")
    assert content_digest(iter([b"1", b"2"]), "") == images
    digests = [content_digest(*given) for given in (([b"1"], ""), ([b"2", b"1"], ""), ([b"1", b"2"], "cropped to 64"))]
    assert len({images, *digests}) == 4
    networks = [NETWORK, replace(NETWORK, fingerprint="2"), replace(NETWORK, resizing="paper")]
    networks.append(replace(NETWORK, size=(8, 8)))
    keys = [reference_key(images, network) for network in networks]
    assert len({*keys, reference_key(digests[0], NETWORK)}) == 5
    assert reference_key(images, replace(NETWORK, network=nn.Identity())) == keys[0]
