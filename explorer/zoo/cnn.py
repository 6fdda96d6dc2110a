"""A small residual network with batch norms for 32x32 grey images."""

from __future__ import annotations

from torch import Tensor, nn

WIDTHS = (16, 32, 64)
DEPTHS = (2, 2, 1)


class Residual(nn.Module):
    """Two 3x3 convolutions with batch norms, added to the input, which a 1x1 convolution fits where shapes differ."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.relu2 = nn.ReLU()
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu1(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        out: Tensor = self.relu2(y + self.downsample(x))
        return out


class DigitsCNN(nn.Module):
    """Logits ``[n, 10]`` for images ``[n, 1, 32, 32]``: a stem, three stages of residual blocks, a mean, a linear."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(1, WIDTHS[0], 3, padding=1, bias=False), nn.BatchNorm2d(WIDTHS[0]), nn.ReLU()
        )
        self.layer1 = _stage(WIDTHS[0], WIDTHS[0], DEPTHS[0], stride=1)
        self.layer2 = _stage(WIDTHS[0], WIDTHS[1], DEPTHS[1], stride=2)
        self.layer3 = _stage(WIDTHS[1], WIDTHS[2], DEPTHS[2], stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(WIDTHS[2], 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer3(self.layer2(self.layer1(self.stem(x))))
        logits: Tensor = self.fc(self.avgpool(x).flatten(1))
        return logits


def _stage(inputs: int, outputs: int, depth: int, stride: int) -> nn.Sequential:
    first = Residual(inputs, outputs, stride)
    return nn.Sequential(first, *[Residual(outputs, outputs, 1) for _ in range(depth - 1)])
