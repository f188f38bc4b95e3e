"""Makes statistics.json: fixed cases and what scipy and statsmodels say of them.

    python statistics.py > statistics.json

Needs scipy and statsmodels; the versions used stand in the file.
"""

import json
from fractions import Fraction
from itertools import combinations

import numpy
import scipy
import statsmodels
from scipy.stats import bootstrap, permutation_test, spearmanr
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.inter_rater import cohens_kappa
from statsmodels.stats.proportion import proportion_confint

random = numpy.random.default_rng(2026)

wilson = []
for successes, of in [(0, 1), (1, 1), (0, 30), (16, 30), (30, 30), (138, 203), (208, 250), (1, 100), (43, 90), (5, 10_000)]:
    low, high = proportion_confint(successes, of, alpha=0.05, method="wilson")
    wilson.append({"successes": successes, "of": of, "low": low, "high": high})

mc_nemar = []
for better, worse in [(0, 0), (1, 0), (5, 5), (12, 3), (3, 12), (40, 61), (0, 25), (700, 600)]:
    table = [[10, better], [worse, 20]]
    mc_nemar.append({"better": better, "worse": worse, "p": float(mcnemar(table, exact=True).pvalue)})

flips = []
for size in (2, 3, 8, 15):
    for digits in (1, 6):
        differences = numpy.round(random.normal(0.2, 1.0, size), digits)
        test = permutation_test((differences,), numpy.sum, permutation_type="samples", n_resamples=numpy.inf, alternative="two-sided")
        flips.append({"differences": differences.tolist(), "p": float(test.pvalue)})
thirds = [2 / 3, 1 / 3, -1 / 3, 0.0, 1.0, 1 / 3, 1 / 3, -2 / 3, 1 / 3, 0.0]
test = permutation_test((numpy.array(thirds),), numpy.sum, permutation_type="samples", n_resamples=numpy.inf)
flips.append({"differences": thirds, "p": float(test.pvalue)})

rank = []
for size, levels in [(5, 100), (10, 4), (40, 3), (200, 1000)]:
    a = random.integers(0, levels, size)
    b = a + random.integers(0, levels, size)
    rank.append({"a": a.tolist(), "b": b.tolist(), "rho": float(spearmanr(a, b).statistic)})

kappa = []
for size in (2, 3, 7):
    counts = random.integers(0, 30, (size, size)) + 20 * numpy.eye(size, dtype=int)
    kappa.append({"counts": counts.tolist(), "kappa": float(cohens_kappa(counts).kappa)})

# pass@k by counting subsets.
passes = []
for correct, count, k in [(0, 4, 2), (1, 4, 2), (3, 8, 5), (2, 3, 3), (1, 3, 1), (5, 5, 1), (6, 12, 4)]:
    subsets = list(combinations(range(count), k))
    hits = sum(1 for subset in subsets if any(member < correct for member in subset))
    passes.append({"correct": correct, "count": count, "k": k, "pass": float(Fraction(hits, len(subsets)))})

# The bootstrap draws by chance, so scipy's interval is a golden only to within its own noise.
clusters = [{"sum": int(random.binomial(3, p)), "count": 3} for p in random.uniform(0, 1, 60)]
means = numpy.array([cluster["sum"] / cluster["count"] for cluster in clusters])
interval = bootstrap((means,), numpy.mean, n_resamples=200_000, method="percentile", rng=random).confidence_interval
f1 = numpy.round(random.beta(0.3, 2.0, 100), 3)
interval_f1 = bootstrap((f1,), numpy.mean, n_resamples=200_000, method="percentile", rng=random).confidence_interval

print(
    json.dumps(
        {
            "made_with": {"numpy": numpy.__version__, "scipy": scipy.__version__, "statsmodels": statsmodels.__version__},
            "wilson": wilson,
            "mcnemar": mc_nemar,
            "sign_flip": flips,
            "spearman": rank,
            "kappa": kappa,
            "pass_at_k": passes,
            "bootstrap": [
                {"clusters": clusters, "low": float(interval.low), "high": float(interval.high)},
                {
                    "clusters": [{"sum": float(value), "count": 1} for value in f1],
                    "low": float(interval_f1.low),
                    "high": float(interval_f1.high),
                },
            ],
        },
        indent=1,
    )
)
