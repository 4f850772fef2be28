"""Features to points of a plane, as a program: COUNT PERPLEXITY SEED FEATURES POINTS, the last two files of float64.

scikit-learn computes for minutes and listens to nobody; a process of its own can be ended. It imports nothing of ours.
"""

from __future__ import annotations

import sys

import numpy as np

COMPONENTS = 50


def main(count: int, perplexity: float, seed: int, source: str, target: str) -> None:
    """The first 50 principal components of [count, D], and t-SNE of them: [count, 2]."""
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    features = np.fromfile(source).reshape(count, -1)
    coordinates = PCA(min(COMPONENTS, *features.shape), svd_solver="full").fit_transform(features)
    plane = TSNE(
        perplexity=perplexity, init="pca" if coordinates.shape[1] > 1 else "random", random_state=seed
    )
    plane.fit_transform(coordinates).astype(np.float64).tofile(target)


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:6])
