"""BD-rate and BD-quality: reference values, identities, another implementation, and every known trap."""

import itertools
import warnings

import bjontegaard
import numpy as np
import pytest

import analysis
from analysis.bd import BD, BDSamples
from analysis.errors import CurveError

METHODS = ("pchip", "akima", "cubic")

VCEG_M33 = (
    [90.33, 181.03, 332.99, 547.79],
    [27.95, 31.17, 34.44, 38.11],
    [127.1719, 186.14, 307.2924, 481.5588],
    [29.9286, 32.4165, 34.7013, 37.4561],
)

PUBLISHED = [
    ("kodak", "vtm_compressai", "lalic", "pchip", -15.2643),
    ("kodak", "vtm_compressai", "lalic", "cubic", -15.5077),
    ("kodak", "vtm_compressai", "lalic", "akima", -15.3013),
    ("clic_pro_valid", "vtm_9.1_lalic", "lalic", "pchip", -15.4121),
    ("clic_pro_valid", "vtm_17.0", "tcm_large", "cubic", -8.0392),
    ("clic_pro_valid", "vtm_17.0", "mlic_plus", "cubic", -12.5607),
    ("kodak", "vtm_18.0", "hpcm_base", "pchip", -15.4477),
    ("kodak", "vtm_18.0", "hpcm_large", "pchip", -19.3942),
    ("clic_pro_valid", "vtm_17.0", "hpcm_large", "pchip", -18.1324),
    ("tecnick", "vtm_18.0", "hpcm_large", "pchip", -22.2456),
]
"""What these point sets give by the method of the papers that they belong to."""


def points(name: str, metric: str = "psnr") -> tuple[np.ndarray, np.ndarray]:
    curve = analysis.load_curve(name)
    return curve.bpp, curve.quality(metric)


ANCHOR = points("kodak/vtm_9.1_lalic")
TEST = points("kodak/hpcm_large")
RATE, PSNR = TEST


def names(flags: tuple[str, ...]) -> list[str]:
    return [flag.split(":")[0] for flag in flags]


def changed(values: np.ndarray, index: int, value: float) -> np.ndarray:
    copy = values.copy()
    copy[index] = value
    return copy


def swapped(values: np.ndarray, i: int, j: int) -> np.ndarray:
    copy = values.copy()
    copy[[i, j]] = copy[[j, i]]
    return copy


def test_the_reference_sheet() -> None:
    rate = analysis.bd_rate(*VCEG_M33, method="cubic")

    assert rate == pytest.approx(-13.261772993093556, abs=1e-9)
    assert analysis.bd_quality(*VCEG_M33, method="cubic") == pytest.approx(0.80071318397395785, abs=1e-9)
    assert rate.methods["pchip"] == pytest.approx(-13.2925, abs=5e-5)
    assert rate.methods["akima"] == pytest.approx(-13.3435, abs=5e-5)
    assert rate.flags == ()
    assert rate.shared == (29.9286, 37.4561)


@pytest.mark.parametrize(("dataset", "anchor", "codec", "method", "expected"), PUBLISHED)
def test_published_values(dataset: str, anchor: str, codec: str, method: str, expected: float) -> None:
    value = analysis.bd_rate(*points(f"{dataset}/{anchor}"), *points(f"{dataset}/{codec}"), method=method)

    assert value == pytest.approx(expected, abs=5e-5)


@pytest.mark.parametrize(
    "dataset", [pytest.param("kodak", marks=pytest.mark.slow), "clic_pro_valid", "tecnick", "clic2022_test"]
)
def test_every_published_pair_agrees_with_the_package_bjontegaard(dataset: str) -> None:
    for metric in ("psnr", "ms-ssim-db"):
        curves = [name for name in analysis.anchors(dataset) if metric in analysis.load_curve(name).metrics]
        for anchor, test in itertools.permutations([points(name, metric) for name in curves], 2):
            expected = {method: reference(bjontegaard.bd_rate, anchor, test, method) for method in METHODS}
            if np.isnan(expected["pchip"]):
                with pytest.raises(CurveError, match="no-overlap"):
                    analysis.bd_rate(*anchor, *test)
            else:
                assert analysis.bd_rate(*anchor, *test).methods == pytest.approx(expected, abs=1e-9)


def test_bd_quality_agrees_with_the_package_bjontegaard() -> None:
    curves = [points(name) for name in analysis.anchors("tecnick") if "msssim" not in name]
    for anchor, test in itertools.permutations(curves, 2):
        expected = {method: reference(bjontegaard.bd_psnr, anchor, test, method) for method in METHODS}
        assert analysis.bd_quality(*anchor, *test).methods == pytest.approx(expected, abs=1e-9)


def reference(function, anchor, test, method: str) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return function(*anchor, *test, method, require_matching_points=False, min_overlap=0)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("curve", [ANCHOR, TEST, points("kodak/vtm_18.0"), VCEG_M33[:2]])
def test_what_is_exact_by_construction(curve: tuple, method: str) -> None:
    rate, quality = np.array(curve[0]), np.array(curve[1])

    assert analysis.bd_rate(rate, quality, rate, quality, method) == 0
    assert analysis.bd_rate(rate, quality, rate / 2, quality, method) == pytest.approx(-50, abs=1e-10)
    assert analysis.bd_rate(rate, quality, rate * 1.3, quality, method) == pytest.approx(30, abs=1e-10)
    assert analysis.bd_quality(rate, quality, rate, quality + 0.7, method) == pytest.approx(0.7, abs=1e-10)


@pytest.mark.parametrize("method", METHODS)
def test_the_unit_of_rate_does_not_matter(method: str) -> None:
    kilobits = analysis.bd_rate(ANCHOR[0] * 393.216, ANCHOR[1], TEST[0] * 393.216, TEST[1], method)

    assert kilobits == pytest.approx(analysis.bd_rate(*ANCHOR, *TEST, method), abs=1e-10)


def test_the_result_is_a_number_with_its_report() -> None:
    value = analysis.bd_rate(list(ANCHOR[0]), list(ANCHOR[1]), list(RATE), list(PSNR))

    assert isinstance(value, BD)
    assert f"{value:.4f}" == "-18.7256"
    assert value.method == "pchip"
    assert value.methods == pytest.approx({"pchip": -18.7256, "akima": -18.7389, "cubic": -18.7501}, abs=5e-5)
    assert value.overlap == 1.0
    assert value.flags == ()


FAULTS = {
    "crossed pairs": (RATE[::-1], PSNR, "falling-quality.*37.748 to 28.9135.*crossed"),
    "MSE for PSNR": (RATE, 10 ** (-PSNR / 10), "falling-quality.*MSE"),
    "two PSNRs exchanged": (RATE, swapped(PSNR, 2, 3), r"not-monotone.*\(0.2438, 33.9923\), then \(0.3778, 32.1219\)"),
    "two rates exchanged": (swapped(RATE, 2, 3), PSNR, r"not-monotone.*\(0.2438, 33.9923\), then \(0.3778, 32.1219\)"),
    "equal PSNRs": (RATE, changed(PSNR, 3, PSNR[2]), r"duplicate-points.*\(0.2438, 32.1219\) and \(0.3778, 32.1219\)"),
    "equal rates": (changed(RATE, 3, RATE[2]), PSNR, "duplicate-points"),
    "a point twice": (RATE[[0, 1, 2, 2, 3, 4]], PSNR[[0, 1, 2, 2, 3, 4]], "duplicate-points"),
    "NaN": (RATE, changed(PSNR, 2, np.nan), "not-finite.*rate 0.2438 with quality nan"),
    "NaN rate": (changed(RATE, 2, np.nan), PSNR, "not-finite.*rate nan"),
    "a lossless point": (RATE, changed(PSNR, 5, np.inf), "not-finite.*rate 0.7843 with quality inf; a lossless point"),
    "zero rate": (changed(RATE, 0, 0.0), PSNR, "non-positive-rate.*rate 0 "),
    "negative rate": (changed(RATE, 0, -0.1), PSNR, "non-positive-rate.*rate -0.1 "),
    "exchanged": (PSNR, RATE, "exchanged-axes.*rates 28.9135 to 37.748.*qualities 0.0951 to 0.7843"),
    "one point": (RATE[:1], PSNR[:1], "too-few-points: test: 1, and pchip needs at least 2"),
    "no points": ([], [], "too-few-points: test: 0"),
    "a quality missing": (RATE, PSNR[:5], "unequal-lists: test: 6 rates but 5 qualities"),
    "no overlap": (RATE, PSNR + 20, "no-overlap: quality 26.1592 to 40.5357 of the anchor and 48.9135 to 57.748"),
    "touching": (RATE, PSNR - PSNR[0] + ANCHOR[1][-1], "no-overlap: .*40.5357 of the anchor and 40.5357"),
    "raw and dB": (RATE, 1 - 10 ** (-PSNR / 20), "no-overlap.*raw MS-SSIM"),
}


@pytest.mark.parametrize("trap", FAULTS)
def test_a_trap_without_an_honest_number_is_an_error(trap: str) -> None:
    rate, quality, message = FAULTS[trap]

    with pytest.raises(ValueError, match=message):
        analysis.bd_rate(*ANCHOR, rate, quality)


@pytest.mark.parametrize("trap", sorted(set(FAULTS) - {"no overlap", "touching", "raw and dB"}))
def test_the_same_traps_are_errors_of_bd_quality(trap: str) -> None:
    rate, quality, message = FAULTS[trap]

    with pytest.raises(ValueError, match=message):
        analysis.bd_quality(*ANCHOR, rate, quality)


def test_bd_quality_needs_shared_rates() -> None:
    with pytest.raises(CurveError, match=r"no-overlap: rate 0.047888 to 1.42849 of the anchor and 9.51 to 78.43"):
        analysis.bd_quality(*ANCHOR, RATE * 100, PSNR)


def test_both_curves_exchanged() -> None:
    with pytest.raises(CurveError, match=r"exchanged-axes: anchor.*exchanged-axes: test"):
        analysis.bd_rate(*ANCHOR[::-1], *TEST[::-1])


def test_raw_ms_ssim_and_rate_exchanged() -> None:
    rate, ms_ssim = points("kodak/vtm_compressai", "ms-ssim")

    with pytest.raises(CurveError, match="exchanged-axes"):
        analysis.bd_rate(ms_ssim, rate, ms_ssim, rate * 0.9)


ORDER = np.array([3, 0, 5, 1, 4, 2])
NO_OVERLAP_BUT = PSNR - PSNR[0] + ANCHOR[1][-1] - 0.05

FLAGS = {
    "shuffled": ((*ANCHOR, RATE[ORDER], PSNR[ORDER]), "unordered", "test"),
    "reversed": ((*ANCHOR, RATE[::-1], PSNR[::-1]), "unordered", "test"),
    "three points": ((ANCHOR[0][1:4], ANCHOR[1][1:4], RATE[:3], PSNR[:3]), "few-points", "3"),
    "two points": ((ANCHOR[0][1:3], ANCHOR[1][1:3], RATE[:2], PSNR[:2]), "few-points", "2"),
    "a sliver": ((*ANCHOR, RATE, NO_OVERLAP_BUT), "small-overlap", "0.6 %.*40.4857 to 40.5357"),
    "one operating point": ((*ANCHOR, RATE, 33 + PSNR / 100), "small-overlap", "100.0 %.*33.2"),
    "half of the test": ((*TEST, *ANCHOR), "small-overlap", "61.5 %"),
    "other counts": ((*points("kodak/vtm_18.0"), *TEST), "unequal-points", "anchor 36, test 6"),
    "raw MS-SSIM": (
        (*points("kodak/vtm_9.1_lalic", "ms-ssim"), *points("kodak/lalic_msssim", "ms-ssim")),
        "raw-ms-ssim",
        "0.957824 to 0.994298",
    ),
    "a wrong anchor file": (
        (*points("kodak/vtm_12.1_hifivric_issue"), *TEST),
        "wrong-anchor",
        "kodak/vtm_12.1_hifivric_issue",
    ),
    "a wrong anchor, rounded": (
        (*(np.round(values, 3) for values in points("clic_pro_valid/vtm_12.1_dcae_issue")), *TEST),
        "wrong-anchor",
        "clic_pro_valid/vtm_12.1_dcae_issue",
    ),
    "methods apart": (
        (*points("kodak/vtm_compressai", "ms-ssim-db"), *points("kodak/hpcm_large_msssim", "ms-ssim-db")),
        "methods-apart",
        "pchip -56.93, akima -56.89, cubic -57.69: 0.81 points",
    ),
    "itself": ((*ANCHOR, *ANCHOR), "same-curve", "same points"),
}


@pytest.mark.parametrize("trap", FLAGS)
def test_a_trap_with_a_number_is_flagged(trap: str) -> None:
    arguments, name, numbers = FLAGS[trap]
    flags = {flag.split(":")[0]: flag for flag in analysis.bd_rate(*arguments).flags}

    assert name in flags
    with pytest.raises(AssertionError, match=numbers):
        raise AssertionError(flags[name])


def test_sorting_changes_nothing_but_the_flag() -> None:
    for method in METHODS:
        shuffled = analysis.bd_rate(ANCHOR[0][ORDER], ANCHOR[1][ORDER], RATE[ORDER], PSNR[ORDER], method)
        assert shuffled == analysis.bd_rate(*ANCHOR, *TEST, method)
        assert names(shuffled.flags) == ["unordered", "unordered"]


def test_ordinary_pairs_have_no_flag_but_their_counts() -> None:
    for codec in ("hpcm_large", "hpcm_base", "lalic", "tcm_large", "mlic_plus", "dcae"):
        for anchor in ("kodak/vtm_18.0", "kodak/vtm_compressai"):
            flags = analysis.bd_rate(*points(anchor), *points(f"kodak/{codec}")).flags
            assert names(flags) == ["unequal-points"], (anchor, codec)


def test_cubic_needs_four_points() -> None:
    three = (ANCHOR[0][1:4], ANCHOR[1][1:4], RATE[:3], PSNR[:3])

    with pytest.raises(CurveError, match="too-few-points: anchor: 3, and cubic needs at least 4"):
        analysis.bd_rate(*three, method="cubic")
    assert set(analysis.bd_rate(*three).methods) == {"pchip", "akima"}


def test_an_unknown_method_is_named_with_the_nearest() -> None:
    with pytest.raises(CurveError, match="no method 'pchp': it is one of pchip, akima, cubic; did you mean pchip"):
        analysis.bd_rate(*ANCHOR, *TEST, method="pchp")


def resampled(count: int) -> tuple[np.ndarray, ...]:
    random = np.random.default_rng(0)
    return tuple(values * random.lognormal(0, 0.002, (count, 6)) for values in (*ANCHOR, *TEST))


def test_many_samples_are_the_samples_one_by_one() -> None:
    samples = resampled(40)
    for method in METHODS:
        for function in (analysis.bd_rate, analysis.bd_quality):
            many = function(*samples, method=method)
            each = [function(*one, method=method) for one in zip(*samples, strict=True)]
            assert isinstance(many, BDSamples)
            assert np.asarray(many) == pytest.approx(each, abs=1e-10)
            assert many.overlap == pytest.approx([one.overlap for one in each])
            assert set(many.methods) == set(METHODS)


def test_one_anchor_serves_many_samples_with_any_leading_axes() -> None:
    _, _, rate, quality = resampled(12)
    many = analysis.bd_rate(*ANCHOR, rate.reshape(3, 4, 6), quality.reshape(3, 4, 6))

    assert many.shape == (3, 4)
    assert many[2, 3] == pytest.approx(analysis.bd_rate(*ANCHOR, rate[11], quality[11]), abs=1e-12)
    assert np.quantile(many, 0.5) == pytest.approx(np.median(many.values))
    assert (many - many[0, 0])[0, 0] == 0


def test_per_image_values_are_one_call() -> None:
    """The mean of per-image BD-rates of Cool-Chic 4.2 against 2.0 differs from the BD-rate of the mean curves."""
    import json

    from analysis.published import path_of

    def per_image(name: str) -> tuple[np.ndarray, np.ndarray]:
        rows = np.array(list(json.loads(path_of(name).read_text())["per_image"].values()))
        return rows[..., 2], rows[..., 3]

    each = analysis.bd_rate(*per_image("kodak/coolchic_v2.0"), *per_image("kodak/coolchic_v4.2"))
    of_means = analysis.bd_rate(*points("kodak/coolchic_v2.0"), *points("kodak/coolchic_v4.2"))

    assert len(each) == 24
    assert np.mean(each) == pytest.approx(-23.194, abs=5e-4)
    assert of_means == pytest.approx(-22.311, abs=5e-4)


def test_a_faulty_sample_is_named_or_nan() -> None:
    samples = resampled(10)
    samples[3][4, 2] = np.nan
    samples[3][7] += 30

    with pytest.raises(CurveError, match=r"not-finite: test: .* \(sample 4; 1 of 10 samples\)"):
        analysis.bd_rate(*samples)
    values = analysis.bd_rate(*samples, invalid="nan")

    assert list(np.flatnonzero(np.isnan(values))) == [4, 7]
    assert names(values.flags) == ["not-finite", "no-overlap"]
    assert "(sample 7; 1 of 10 samples)" in values.flags[1]
    assert values[3] == pytest.approx(analysis.bd_rate(*(values[3] for values in samples)), abs=1e-12)


def test_a_faulty_anchor_of_all_samples_is_an_error_whatever_is_asked() -> None:
    _, _, rate, quality = resampled(5)

    with pytest.raises(CurveError, match="not-monotone: anchor"):
        analysis.bd_rate(ANCHOR[0], swapped(ANCHOR[1], 1, 2), rate, quality, invalid="nan")
