"""Spark MLlib's ALS, rank 20, regularization 0.15, 20 iterations, on two cores of this machine."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
from pyspark.ml.recommendation import ALS
from pyspark.sql import SparkSession

from benchmarks.peers.exchange import Answer, Task, answer


def perform(task: Task, setting: str) -> Answer:
    del setting  # there is one
    spark = (
        SparkSession.builder.master("local[2]")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.ui.enabled", "false")
        .config("spark.log.level", "ERROR")
        .config("spark.driver.extraJavaOptions", "-Xss16m")  # 20 iterations make a deep plan
        .config("spark.sql.shuffle.partitions", "4")
        .getOrCreate()
    )
    rows = {"user": task.user, "item": task.item, "rating": task.rating}
    pairs = {"row": np.arange(len(task.test_user)), "user": task.test_user, "item": task.test_item}
    training = spark.createDataFrame(pd.DataFrame(rows)).cache()
    training.count()  # in memory before the clock starts
    als = ALS(rank=20, regParam=0.15, maxIter=20, seed=0, userCol="user", itemCol="item", ratingCol="rating")
    began = time.perf_counter()
    model = als.fit(training)
    seconds = time.perf_counter() - began
    found = model.transform(spark.createDataFrame(pd.DataFrame(pairs))).toPandas().sort_values("row")
    spark.stop()
    # Of an unknown user or item Spark says NaN; the mean is the best that stands in for it.
    predicted = found["prediction"].fillna(float(task.rating.mean())).to_numpy()
    return Answer(predicted=task.clipped(predicted), rating_seconds=seconds)


if __name__ == "__main__":
    answer(perform)
