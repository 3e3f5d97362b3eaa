"""The parameter shapes of well-known models."""

Shapes = list[tuple[int, ...]]


def gpt2_small() -> Shapes:
    """GPT-2 small, 124 million: A. Radford et al., "Language models are unsupervised multitask learners", 2019."""
    d = 768
    norm: Shapes = [(d,), (d,)]
    block: Shapes = [*norm, (d, 3 * d), (3 * d,), (d, d), (d,), *norm, (d, 4 * d), (4 * d,), (4 * d, d), (d,)]
    return [(50257, d), (1024, d), *block * 12, *norm]


def resnet50() -> Shapes:
    """ResNet-50, 25.6 million: K. He et al., "Deep residual learning for image recognition", CVPR 2016, table 1."""
    shapes: Shapes = [(64, 3, 7, 7), (64,), (64,)]
    channels = 64
    for width, blocks in ((64, 3), (128, 4), (256, 6), (512, 3)):
        for block in range(blocks):
            convolutions = [(width, channels, 1, 1), (width, width, 3, 3), (4 * width, width, 1, 1)]
            convolutions += [(4 * width, channels, 1, 1)] if block == 0 else []
            for shape in convolutions:
                shapes += [shape, (shape[0],), (shape[0],)]
            channels = 4 * width
    return [*shapes, (1000, channels), (1000,)]
