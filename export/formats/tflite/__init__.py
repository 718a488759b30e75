"""TFLite export: conversion, several signatures in one file, metadata."""
