"""MobileNetV2 and DenseNet-121 in torch, with the names that torchvision's modules have."""


def mobilenet_v2(stem, classes):
    """MobileNetV2 with ``stem`` channels in its first stage, a multiple of 4."""
    from torch import nn

    def conv(c_in, c_out, kernel, stride=1, groups=1):
        geometry = dict(stride=stride, padding=kernel // 2, groups=groups, bias=False)
        return [nn.Conv2d(c_in, c_out, kernel, **geometry), nn.BatchNorm2d(c_out)]

    class Block(nn.Module):
        def __init__(self, c_in, c_out, expansion, stride):
            super().__init__()
            inside, layers = c_in * expansion, []
            if expansion != 1:
                layers.append(nn.Sequential(*conv(c_in, inside, 1), nn.ReLU6()))
            depthwise = conv(inside, inside, 3, stride, inside)
            layers += [nn.Sequential(*depthwise, nn.ReLU6()), *conv(inside, c_out, 1)]
            self.conv, self.adds = nn.Sequential(*layers), stride == 1 and c_in == c_out

        def forward(self, x):
            return x + self.conv(x) if self.adds else self.conv(x)

    class MobileNetV2(nn.Module):
        def __init__(self):
            super().__init__()
            c, features = stem, [nn.Sequential(*conv(3, stem, 3, 2), nn.ReLU6())]
            for t, width, n, s in (
                (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1),
                (6, 160, 3, 2), (6, 320, 1, 1),
            ):  # fmt: skip
                for i in range(n):
                    features.append(Block(c, width * stem // 32, t, s if i == 0 else 1))
                    c = width * stem // 32
            features.append(nn.Sequential(*conv(c, 40 * stem, 1), nn.ReLU6()))
            self.features = nn.Sequential(*features)
            self.classifier = nn.Sequential(nn.Dropout(0.0), nn.Linear(40 * stem, classes))

        def forward(self, x):
            return self.classifier(self.features(x).mean(dim=(2, 3)))

    return MobileNetV2()


def densenet121(stem, classes):
    """DenseNet-121 with ``stem`` channels in its first convolution, an even number."""
    import torch
    from torch import nn

    growth = stem // 2

    class Layer(nn.Module):
        def __init__(self, c):
            super().__init__()
            self.norm1, self.conv1 = nn.BatchNorm2d(c), nn.Conv2d(c, 4 * growth, 1, bias=False)
            self.norm2 = nn.BatchNorm2d(4 * growth)
            self.conv2 = nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)

        def forward(self, x):
            y = self.conv1(torch.relu(self.norm1(x)))
            return torch.cat([x, self.conv2(torch.relu(self.norm2(y)))], 1)

    class Transition(nn.Module):
        def __init__(self, c):
            super().__init__()
            self.norm, self.conv = nn.BatchNorm2d(c), nn.Conv2d(c, c // 2, 1, bias=False)

        def forward(self, x):
            return nn.functional.avg_pool2d(self.conv(torch.relu(self.norm(x))), 2)

    class DenseNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.features, c = nn.Sequential(), stem
            self.features.conv0 = nn.Conv2d(3, c, 7, 2, 3, bias=False)
            self.features.norm0, self.features.relu0 = nn.BatchNorm2d(c), nn.ReLU()
            self.features.pool0 = nn.MaxPool2d(3, 2, 1)
            for i, n in enumerate((6, 12, 24, 16), start=1):
                block = nn.Sequential()
                for j in range(n):
                    setattr(block, f"denselayer{j + 1}", Layer(c))
                    c += growth
                setattr(self.features, f"denseblock{i}", block)
                if i < 4:
                    setattr(self.features, f"transition{i}", Transition(c))
                    c //= 2
            self.features.norm5 = nn.BatchNorm2d(c)
            self.classifier = nn.Linear(c, classes)

        def forward(self, x):
            return self.classifier(torch.relu(self.features(x)).mean(dim=(2, 3)))

    return DenseNet()
