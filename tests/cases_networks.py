"""Further cases, in the manner of ``cases.py``: the words that the networks of section 25.6
need, and small parts of them.
"""

from cases import Case

TABLE = ((0, 2), (1,), (0, 1, 2), (2, 1))
CODES = ((1, -1, 1, 1, -1), (-1, -1, 1, -1, 1), (1, 1, -1, -1, -1))

CASES = [
    Case("batch_norm", lambda nn: nn.batch_norm(), (3, 4, 5)),
    Case("batch_norm of vectors", lambda nn: nn.batch_norm(momentum=0.3, eps=1e-2), (6,)),
    Case("batch_norm of one pixel", lambda nn: nn.batch_norm(momentum=1.0), (4, 1, 1)),
    Case("local_response_norm", lambda nn: nn.local_response_norm(5, alpha=0.5, beta=0.75, k=2.0), (7, 3, 4)),
    Case("local_response_norm even", lambda nn: nn.local_response_norm(4, alpha=2.0, beta=0.4), (6, 2, 3)),
    Case("local_response_norm of one", lambda nn: nn.local_response_norm(1, alpha=1.0), (3, 2, 4)),
    Case("local_response_norm of all", lambda nn: nn.local_response_norm(9, alpha=1.0), (3, 4, 2)),
    Case("global_avg_pool", lambda nn: nn.global_avg_pool(), (4, 3, 5)),
    Case("table_conv", lambda nn: nn.table_conv(TABLE, (3, 2)), (3, 6, 5)),
    Case("table_conv with an unseen channel", lambda nn: nn.table_conv(((1,), (0, 1)), 2), (4, 3, 4)),
    Case("subsample", lambda nn: nn.subsample(2), (3, 6, 4)),
    Case("subsample leaves a rest", lambda nn: nn.subsample(3), (2, 7, 5)),
    Case("scaled_tanh", lambda nn: nn.scaled_tanh(), (2, 3, 4)),
    Case("rbf", lambda nn: nn.rbf(CODES), (5,)),
    Case(
        "bottleneck",
        lambda nn: nn.residual(
            nn.serial(
                nn.conv(3, 1, bias=False), nn.batch_norm(), nn.relu(),
                nn.conv(3, 3, 2, 1, bias=False), nn.batch_norm(eps=1e-2), nn.relu(),
                nn.conv(6, 1, bias=False), nn.batch_norm(eps=1e-2),
            ),
            nn.serial(nn.conv(6, 1, 2, bias=False), nn.batch_norm()),
        ),
        (3, 7, 6),
    ),
    Case(
        "grouped convolution and response norm",
        lambda nn: nn.serial(
            nn.conv(4, 3, 2), nn.relu(), nn.local_response_norm(3, 5e-4, 0.75, 2.0), nn.max_pool(3, 2),
            nn.conv(6, 3, padding=1, groups=2), nn.global_avg_pool(), nn.dropout(0.5), nn.dense(3),
        ),
        (2, 11, 13),
    ),
]  # fmt: skip
