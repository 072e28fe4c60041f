from __future__ import annotations

import torch

from gancompress.data.palette import distinct_colour, label_picture


def test_every_pixel_has_the_colour_of_its_class() -> None:
    labels = torch.tensor([[[0, 1], [2, 255]], [[1, 1], [0, -1]]])
    picture = label_picture(labels.to(torch.int32), ((255, 0, 51), (0, 255, 0)))
    red, green, black = torch.tensor([1.0, -1.0, -0.6]), torch.tensor([-1.0, 1.0, -1.0]), torch.full((3,), -1.0)
    assert picture.shape == (2, 3, 2, 2)
    torch.testing.assert_close(picture[0, :, 0, 0], red)
    assert picture[0, :, 0, 1].equal(green)
    assert picture[0, :, 1].equal(torch.stack([black, black], 1))
    torch.testing.assert_close(picture[1, :, 1], torch.stack([red, black], 1))


def test_the_first_classes_are_easy_to_tell() -> None:
    colours = torch.tensor([distinct_colour(n) for n in range(20)]).float()
    distances = torch.cdist(colours, colours) + 999 * torch.eye(20)
    assert distances.min() > 20
