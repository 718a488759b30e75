"""TFLite: conversion, several signatures in one file, and the metadata inside."""
