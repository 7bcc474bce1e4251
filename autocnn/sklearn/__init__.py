"""A network as a scikit-learn estimator, for Pipeline, cross_val_score and GridSearchCV.

    from autocnn.sklearn import CNNClassifier
    classifier = CNNClassifier(network="lenet5", epochs=10, random_state=0)
    classifier.fit(images, labels).score(more_images, more_labels)
    classifier.save("digits.safetensors")                        # CNNClassifier.load reads it

Needs scikit-learn: ``pip install 'autocnn[sklearn]'``.
"""

from autocnn.sklearn.classifier import CNNClassifier

__all__ = ["CNNClassifier"]
