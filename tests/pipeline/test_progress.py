import pytest

from pipeline import progress
from pipeline.progress import JobProgress


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 100.0

        def monotonic(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def test_the_rate_forgets_a_slow_start_and_follows_the_last_half_minute(clock, capsys):
    with JobProgress("job", 1000, "images") as job:
        for _ in range(20):  # loading
            clock.now += 1
            job.update(0)
        for second in range(1, 11):
            clock.now += 1
            job.update(10 * second)
        assert job.rate == pytest.approx(10, rel=0.11)
        for second in range(1, 61):
            clock.now += 1
            job.update(100 + 5 * second)
        assert job.rate == pytest.approx(5, rel=0.01)
        assert job.seconds == 90
    lines = capsys.readouterr().err.splitlines()
    assert "400/1000 images, 5.0 images/s, about 120 s left" in lines[-1]


def test_what_was_done_before_does_not_count_for_the_rate(clock):
    with JobProgress("job", 1000, "images", done=500) as job:
        clock.now += 10
        job.update(600)
        assert job.rate == pytest.approx(10)
