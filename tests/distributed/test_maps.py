"""Tasks with a value that all of them share."""

from __future__ import annotations

import operator

from distributed import Client, LocalCluster

from ptychodask.distributed.maps import run_all, shared


def test_a_shared_value_is_on_all_workers():
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        held = shared(client, 40)
        assert len(client.who_has([held])[held.key]) == 2
        seen = []
        found = run_all(client, [(operator.add, (held, i)) for i in range(5)], lambda *step: seen.append(step))
        assert found == [40, 41, 42, 43, 44]
        assert seen[0] == (0, 5) and seen[-1] == (5, 5)
