"""Layers: functions of tensors with parameters of their own. See ``Layer`` for making one."""

from pycyxwiz._config import register
from pycyxwiz.layers._layer import InputShapeError, Layer
from pycyxwiz.layers.activations import ReLU, Sigmoid, Softmax, Tanh
from pycyxwiz.layers.convolution import Conv2D
from pycyxwiz.layers.dense import Dense
from pycyxwiz.layers.dropout import Dropout
from pycyxwiz.layers.flatten import Flatten
from pycyxwiz.layers.pooling import AvgPool2D, MaxPool2D

__all__ = [
    "AvgPool2D",
    "Conv2D",
    "Dense",
    "Dropout",
    "Flatten",
    "InputShapeError",
    "Layer",
    "MaxPool2D",
    "ReLU",
    "Sigmoid",
    "Softmax",
    "Tanh",
    "register",
]
