"""What a search may change, as the command line says it."""

import pytest

from lic_exp.config.axes import axes_of
from lic_exp.config.errors import ConfigError

AXES = ["optimizer.lr=tag(log,interval(1e-4,1e-2))", "data.batch_size=tag(int,interval(1,8))", "optimizer=adam,[sgd]"]


def test_the_axes_of_a_search():
    lr, batch, optimizer = axes_of([*AXES, "seed=3"])
    assert (lr.key, lr.low, lr.high, lr.log, lr.whole) == ("optimizer.lr", 1e-4, 1e-2, True, False)
    assert (batch.low, batch.high, batch.whole) == (1, 8, True)
    assert optimizer.choices == ("adam", ["sgd"])
    with pytest.raises(ConfigError, match="give what to search"):
        axes_of(["seed=3"])
    with pytest.raises(ConfigError, match="from a lower to a higher number"):
        axes_of(["a=tag(log,interval(0,1))"])
