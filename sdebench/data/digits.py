"""The 1797 handwritten digits of 8x8 pixels that scikit-learn carries: a data set that needs no download."""

import numpy as np

from sdebench.data.images import Images, Part, gather

SEED, TEST = 0, 297


def load() -> Images:
    """1500 images to train on and 297 to test on, the classes in equal proportion (a fixed, seeded, stratified split).

    The 17 grey levels k = 0 .. 16 become round(255 k / 16).  Alpaydin and Kaynak 1998, "Optical recognition of
    handwritten digits" (UCI), of which scikit-learn has the test part.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    grey, labels = load_digits(return_X_y=True)
    pixels = np.rint(grey * (255 / 16)).astype(np.uint8).reshape(-1, 1, 8, 8)
    train, test, train_labels, test_labels = train_test_split(
        pixels, labels, test_size=TEST, random_state=SEED, stratify=labels
    )
    return gather("digits", Part(train, train_labels, {"exact"}), Part(test, test_labels, {"exact"}))
